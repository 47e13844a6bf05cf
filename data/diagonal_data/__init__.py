"""From web pages and URL lists to an image–caption dataset with regenerable filters.

schema       candidates, rows, reasons: the columns every stage agrees on
config       configuration trees of the commands;  recipes  named choices
candidates   command: crawls, pages or URL lists → candidates/*.parquet
robots, addresses   what a site asks for; which addresses may be connected to
shards       command: candidates → dataset folder
  units        the plan: which candidates go into which shard;  uid_set  the uids it knows
  parts        the work of several commands on one dataset
  retries      what a retry asks again;  metrics  Prometheus counters of a build
  contact      who does the asking must be known
  build_shard  one unit to one shard: policy, engine, tar, row table;  run_ledger  who may write
  engine_native, engine_img2dataset   two ways to fetch and decode behind one function
  workplace                           what the units at work in one process share
  outcome, heap, arrow                what an engine says of one candidate; a worker's memory
  fetch                               URLs to bytes or a reason
    http_client, response, retry_after  one request; what is known of a URL; one header
    host_ledger, lent_slots, host_slots limits per host over all workers; a worker's share
    dns, site_rules, opt_outs           cached names; what sites say; who opts out
    fetch_config, block_lists           manners; what must never reach the disk
  decode                              bytes to a stored image, or the reason there is none
    headers, jpeg_header, png_header    what a file says of itself; PNG rows inflated by ISA-L
    pixels, resize, colour, faces       decoders; sizes; to sRGB; faces blurred
    phash, rights                       perceptual hash; licence fields of XMP, IPTC and EXIF
  tar, manifest, funnel, rows         bytes; finished shards; counts; reading row tables
report       command: dataset → what became of its candidates, by reason and host
filters      command: row tables + scores + recipe → keep list, funnel, report
score_sets   columns computed of a dataset, beside its shards
dedup        command: which samples are copies, as columns
decontaminate   command: which samples are near evaluation data, as columns
reshard      command: dataset + keep list → smaller dataset, byte copies, shuffled on request
tombstones   what was taken down, and which rows that is
takedown     command: name what goes; rewrite the touched shards without it
demo         real drawings served as a small web on loopback
"""
