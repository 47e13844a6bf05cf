"""img2dataset as a user calls it, in a process of its own.

    python fetch_img2dataset.py '{"url_list": …, "output_folder": …}'

The JSON is what `img2dataset.download` takes.
"""

import json
import sys

from img2dataset import download

if __name__ == "__main__":
    # The guard matters: its worker processes import this file again.
    download(**json.loads(sys.argv[1]))
