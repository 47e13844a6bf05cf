"""What is read of the web before a byte of an image is fetched: URLs and their texts.

build        input to candidates;  config, recipes  what can be asked for;  plan  units of work
reading      units to rows as found, cut by the hash of their URL;  exchange  the files of that
  wat, warc, members     Common Crawl's files, and the members they are made of;  file_window
  html_folder, page, page_*   folders of pages; images, texts and links of one page
  site, site_warc, sitemap    a polite crawl, kept as WARC
  lists, list_*          URL lists: Parquet, CSV, TSV, JSON lines
  found                  what all readers give
pool         rows to candidates, a partition at a time;  stages  what depends on what
  clean, clean_recipes, clean_rules, phrases, text_columns   captions and why there is none
  language               of captions
  url_key, uids, copies  one key for the addresses of a picture; uids; which copy stays
  frequent_captions      captions on too many rows
  entries, matcher, tokens, hash_table   metadata, and where it stands in captions
  counts, balance, lots, draw_part       rows of each entry; probabilities; who stays
metadata     a corpus, titles and WordNet to entries
report, concept_chart   what came out, and what fetching it would take
"""
