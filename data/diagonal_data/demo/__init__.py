"""The demo's data: real drawings from npm packages, served as a small web on loopback.

emoji    concepts and drawings of eight emoji families
site     drawings rasterised and written as HTML pages, with the faults of a real web
server   that web on 127.0.0.2, 127.0.0.3 …, as one process
"""
