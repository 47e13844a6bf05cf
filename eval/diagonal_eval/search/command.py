"""Search a dataset by text or picture, or export its embeddings for a vector database.

    python -m diagonal_eval.retrieval search --checkpoint runs/a --dataset D "red apple" --top 20
    python -m diagonal_eval.retrieval search --checkpoint runs/a --dataset D --image cat.jpg
    python -m diagonal_eval.retrieval search --checkpoint runs/a --dataset D --image cat.jpg \\
        --to captions
    python -m diagonal_eval.retrieval search --checkpoint runs/a --dataset D "red apple" \\
        --not "a logo" --unique 0.97 --html out/apples.html
    python -m diagonal_eval.retrieval export --dataset D --name clip --output out/vectors

The embeddings are those of 'python -m diagonal_eval.scores clip'; if the model has none, they are
computed first. The index is built once and stored beside them. docs/evaluation.md says more.
"""

from diagonal_eval.embed import load_encoder
from diagonal_eval.search.config import RETRIEVAL, ExportConfig, SearchConfig
from diagonal_eval.search.export import export
from diagonal_eval.search.index import open_index
from diagonal_eval.search.output import contact_sheet, show
from diagonal_eval.search.query import Hit, Rows, find_hits, question
from diagonal_eval.search.sources import Key, own_embeddings
from diagonal_infra import log, storage
from diagonal_infra.cli import run_command

KEYS: dict[str, Key] = {"images": "image", "captions": "text"}


def run() -> None:
    """The command line."""
    run_command(main, RETRIEVAL, description=__doc__)


def main(config: SearchConfig | ExportConfig) -> None:
    """Search or export, and say what came of it."""
    if isinstance(config, ExportConfig):
        counts = export(config)
        log.STDOUT.print(
            f"{counts.samples:,} samples in {config.output}; left out: {counts.taken_down:,} taken "
            f"down or fetched again, {counts.without_vector:,} without embeddings",
            soft_wrap=True,
        )
        return
    hits = search(config)
    if config.html:
        storage.write_bytes(config.html, contact_sheet(config, hits).encode())
    show(config, hits)


def search(config: SearchConfig) -> list[Hit]:
    """The samples nearest to what is asked, best first.

    Raises:
        UserError: no dataset, model or question, or no embeddings to search.
        UnitError: some shards could not be embedded.
    """
    encoder = load_encoder(config.checkpoint)
    query_D = question(config, encoder)
    embeddings = own_embeddings(
        config.dataset,
        encoder,
        checkpoint=config.checkpoint,
        name=config.name,
        batch_size=config.batch_size,
    )
    key = KEYS[config.to]
    index = open_index(embeddings, key, config.index, len(query_D))
    return find_hits(index, Rows(embeddings, key), query_D, config.top, config.unique)
