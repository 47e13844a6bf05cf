"""The demo's data: real drawings from npm packages, served as a small web on loopback.

emoji    concepts and drawings of eight emoji families
chance   choices by hash: the same web every time
web      which drawings and faults stand under which address (pure)
render   drawings to JPEG, PNG and WebP files
pages    HTML in the varied mark-up of a real web (pure)
site     the web as a folder
server   that folder on 127.0.0.2 … 127.0.0.5, as one process
"""
