"""From web pages and URL lists to an image–caption dataset with regenerable filters.

schema       candidates, rows, reasons: the columns every stage agrees on
candidates   command: pages or URL lists → candidates/*.parquet
  url_lists    readers of Parquet, CSV, TSV, JSONL
  crawl        a polite crawl of a small web
  html         image–text pairs of one page
  robots       RFC 9309 verdicts
shards       command: candidates → dataset folder
  units        the plan: which candidates go into which shard
  build_shard  one unit to one shard: policy, engine, tar, row table
  engine_native, engine_img2dataset   two ways to fetch and decode behind one function
  fetch, decode, phash                network; pixels; perceptual hash
  tar, manifest, funnel               bytes; finished shards; counts by reason
filters      command: row tables + recipe → keep list, funnel, report
reshard      command: dataset + keep list → smaller dataset, byte copies
demo         real drawings served as a small web on loopback
"""
