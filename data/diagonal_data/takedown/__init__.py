"""Takedown: what is named is out at once for every reader, and later out of the files.

__main__    command: name what goes; compact; list; status
config      its flags
selectors   from flags and lists to tombstones
requests    a takedown: tombstones, the rows they name, the log
ledger      DATASET/takedowns.jsonl: who took what down when and why, without the content
compact     the touched shards without what was taken down
  rewriting   one shard: tar, columns beside it, row table, stats
  leftovers   plans, retry lists and reports that show what was taken down
"""
