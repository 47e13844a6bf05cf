"""A trained run to a folder that other libraries load.

    python -m diagonal_train.export --checkpoint out/demo/run --to hf --output out/m

    --to hf           transformers: CLIPModel and CLIPProcessor
    --to open_clip    open_clip: "local-dir:OUT"
    --to onnx         two graphs for onnxruntime

The folder appears whole; README.md in it is a model card out of the run's own records, and
export.json names run and step.
"""

import logging

from diagonal_infra import log
from diagonal_infra.cli import run_command
from diagonal_infra.run_dir import to_json
from diagonal_train.config.export import ExportConfig
from diagonal_train.encoders.load import load_model
from diagonal_train.exporting.folder import MARKER, check_output, whole_folder
from diagonal_train.exporting.hugging_face import write_hugging_face
from diagonal_train.exporting.model_card import write_model_card
from diagonal_train.exporting.onnx import check_exporter, write_onnx
from diagonal_train.exporting.open_clip import write_open_clip
from diagonal_train.exporting.records import read_records

WRITERS = {"hf": write_hugging_face, "open_clip": write_open_clip, "onnx": write_onnx}
logger = logging.getLogger(__name__)


def main(config: ExportConfig) -> None:
    """Write the folder and say where it is.

    Raises:
        UserError: no such run or step, a format that cannot hold the model, or an output that is
            something else.
    """
    check_output(config.output)
    if config.to == "onnx":
        check_exporter()
    loaded = load_model(config.checkpoint, config.step)
    records = read_records(config.checkpoint, loaded.step)
    with whole_folder(config.output) as folder:
        WRITERS[config.to](folder, loaded)
        write_model_card(folder, loaded, records, config.to)
        record = {
            "format": config.to,
            "run": records.name,
            "step": loaded.step,
            "averaged": loaded.averaged,
        }
        (folder / MARKER).write_bytes(to_json(record))
    log.STDOUT.print(f"step {loaded.step} as {config.to} at {config.output}", highlight=False)


if __name__ == "__main__":
    run_command(main, ExportConfig, description=__doc__)
