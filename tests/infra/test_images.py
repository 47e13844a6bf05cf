"""The images' Dockerfile by hadolint; the data image built, and run as clusters run it."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from packaging.requirements import Requirement
from tests.image_builds import REPOSITORY, REVISION, Container

from diagonal_data.manifest import read_manifest
from diagonal_data.schema import candidate_for, candidates_table

DOCKERFILE = REPOSITORY / "infra" / "images" / "Dockerfile"
MOST_BYTES = 1_500_000_000
REQUIREMENTS = [REPOSITORY / "requirements" / name for name in ("all.txt", "cluster.txt")]
PINNED = re.compile(r"^([\w.-]+)==([\w.]+)", re.MULTILINE)
DISTRIBUTIONS = """
from importlib.metadata import distributions
print(*{f"{each.name}=={each.version}" for each in distributions()}, sep="\\n")
"""
IMPORTS = """
import importlib, pkgutil
for name in ("diagonal_infra", "diagonal_data"):
    for module in pkgutil.walk_packages(importlib.import_module(name).__path__, f"{name}."):
        if not module.name.endswith((".__main__", "engine_img2dataset")):
            importlib.import_module(module.name)
"""


def hadolint(path: Path) -> str:
    """What hadolint says, hints included."""
    command = [str(Path(sys.executable).with_name("hadolint")), "--no-color", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def pins(text: str) -> set[tuple[str, str]]:
    """Names and versions; a package has several where they depend on the version of Python."""
    return {(re.sub(r"[-_.]+", "-", name).lower(), pin) for name, pin in PINNED.findall(text)}


def test_hadolint_finds_nothing() -> None:
    assert hadolint(DOCKERFILE) == ""


@pytest.mark.parametrize(
    ("right", "wrong", "rule"),
    [
        (r"USER 1000:1000\nARG", r"ARG", "DL3002"),
        (r"FROM runtime AS train", "FROM debian:latest AS train", "DL3007"),
        (r" --no-install-recommends g\+\+", " g++", "DL3015"),
    ],
    ids=["root", "latest", "recommended"],
)
def test_hadolint_finds_what_is_wrong(right: str, wrong: str, rule: str, tmp_path: Path) -> None:
    text, count = re.subn(right, wrong, DOCKERFILE.read_text())
    assert count == 1
    (tmp_path / "Dockerfile").write_text(text)
    assert rule in hadolint(tmp_path / "Dockerfile")


def test_the_base_and_the_builders_are_of_one_version() -> None:
    assert re.search(r"^ARG BASE=[a-z]+:\d+\.\d+\.\d+-", DOCKERFILE.read_text(), re.MULTILINE)
    tools = dict(pins((DOCKERFILE.parent / "build.txt").read_text()))
    assert tools.keys() == {"hatchling", "uv"}


def test_what_is_copied_is_all_that_is_sent_to_the_builder() -> None:
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    copied = {source for line in copies for source in line.split()}
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert [line for line in ignored if line[0] not in "#!"] == ["*", "**/__pycache__"]


def test_extras_and_groups_are_those_of_the_project() -> None:
    table = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    extras, groups = (
        set(re.findall(rf"--{kind} (\S+)", DOCKERFILE.read_text())) for kind in ("extra", "group")
    )
    assert extras
    assert extras <= table["project"]["optional-dependencies"].keys()
    assert groups == table["dependency-groups"].keys()


def test_nothing_is_installed_without_a_pin() -> None:
    text = DOCKERFILE.read_text().replace("\\\n", " ")
    installs = re.findall(r"pip install (.*)$", text, re.MULTILINE)
    tools, *packages = installs
    assert tools.startswith("--no-cache-dir --constraint /tmp/build.txt uv ")
    own = [each for each in packages if "--no-deps" in each]
    assert len(own) == len(packages) - len(own) == 2
    assert all("--build-constraints /tmp/build.txt ." in each for each in own)
    for line in (each for each in packages if each not in own):
        constraints = re.findall(r"--constraints (\S+)", line)
        assert constraints == [f"requirements/{path.name}" for path in REQUIREMENTS]
        # Extras and groups are in the pins; what has a name of its own would not be.
        assert re.sub(r"--\S+ \S+", "", line).split() in ([], ["${ALSO}"])


def test_what_clusters_add_is_pinned_and_agrees_with_the_rest() -> None:
    base, added = (dict(pins(path.read_text())) for path in REQUIREMENTS)
    assert {name for name in base.keys() & added.keys() if base[name] != added[name]} == set()
    wanted = {
        re.sub(r"[-_.]+", "-", requirement.name).lower()
        for requirement in map(Requirement, requires("ray") or ())
        if requirement.marker is None or requirement.marker.evaluate({"extra": "default"})
    }
    assert "aiohttp-cors" in wanted
    assert wanted | {"ray", "boto3"} <= added.keys()
    # With it in `make setup`, every Ray on a laptop would start the dashboard's agent.
    assert "aiohttp-cors" not in base


def check_packages(image: Container) -> None:
    """All that is ours can be imported; what has a pin has that version; no torch."""
    image.run("python", "-c", IMPORTS)
    installed = pins(image.run("python", "-c", DISTRIBUTIONS))
    pinned = set().union(*(pins(path.read_text()) for path in REQUIREMENTS))
    assert {name for name, _ in installed - pinned} == {"diagonal"}
    assert not dict(installed).keys() & {"torch", "open-clip-torch", "transformers"}
    compiled = image.root.glob("opt/diagonal/lib/*/site-packages/*/__pycache__")
    assert {"ray", "diagonal_data"} <= {path.parent.name for path in compiled}


def check_user(image: Container) -> None:
    """Not root, at home, with our commands in any shell, and unable to change them."""
    assert image.run("id", "--user").strip() == "1000"
    assert image.run("bash", "-c", "echo ~").strip() == "/home/diagonal"
    for shell in (("bash", "-c"), ("bash", "--login", "-c")):
        assert image.run(*shell, "command -v ray").strip() == "/opt/diagonal/bin/ray"
    assert image.run("find", "/opt", "/usr", "-writable", "-not", "-type", "l") == ""


def check_size(image: Container) -> None:
    usage = subprocess.check_output(["du", "--bytes", "--summarize", image.root], text=True)
    size = int(usage.split()[0])
    print(f"data image: {size / 1e6:.0f} MB, its base included")  # noqa: T201  # for the log
    assert size < MOST_BYTES


# One test, since each process of pytest-xdist would build an image of its own.
@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1800)
def test_the_data_image_is_built_and_makes_a_dataset_on_ray(
    data_image: Container, tmp_path: Path, small_web, make_jpeg
) -> None:
    check_packages(data_image)
    check_user(data_image)
    check_size(data_image)
    urls = [small_web.add(f"/{i}.jpg", make_jpeg(i)) for i in range(8)]
    candidates = candidates_table([candidate_for(url, "a picture") for url in urls])
    shared = tmp_path / "shared"
    (shared / "c").mkdir(parents=True)
    shared.chmod(0o777)
    pq.write_table(candidates, shared / "c" / "part-00000.parquet")
    command = "python -m diagonal_data.shards web --candidates /shared/c --dataset /shared/d"
    flags = f"--samples-per-shard 4 --workers 2 --allow-hosts {small_web.host}"
    data_image.run(*f"{command} {flags}".split(), volumes=(f"{shared}:/shared",))
    manifest = read_manifest(str(shared / "d"))
    assert [shard["samples"] for shard in manifest["shards"]] == [4, 4]
    assert manifest["code_revision"] == REVISION
