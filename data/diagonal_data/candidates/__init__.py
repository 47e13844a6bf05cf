"""What is read of the web before a byte of an image is fetched: URLs and their texts.

lists, site, page    URL lists; a polite crawl; the image–text pairs of one HTML page
"""
