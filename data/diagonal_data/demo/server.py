"""Serves the demo's web on four loopback addresses: `python -m diagonal_data.demo.server FOLDER`.

One process of its own, so that the pipeline's event loops and the server's share nothing. Between
`serving` and that process go two pipes: one line comes back when all addresses answer, and when the
driver is gone, whatever ended it, its end of the other pipe is closed and the server leaves.
"""

import argparse
import asyncio
import errno
import http.client
import json
import mimetypes
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web as http_server

from diagonal_data.demo.site import ensure_site
from diagonal_data.demo.web import ADDRESSES, hosts_at
from diagonal_infra import log
from diagonal_infra.errors import DiagonalError, UserError

WHO_PATH = "/.well-known/diagonal-demo"
"""Answers with the absolute folder that is served."""
STOP_SECONDS = 5.0
PROBE_SECONDS = 5.0
Responses = dict[str, dict[str, dict[str, Any]]]


@contextmanager
def serving(folder: str, port: int | None = None) -> Iterator[None]:
    """The demo's web answers while the block runs.

    A demo server of the same folder that runs already is used and left running; the server that
    was started here is gone when the block ends, and also when this process is killed.

    Args:
        folder: built by `ensure_site`.
        port: of all hosts; the one the pages link to when None.

    Raises:
        UserError: there is no web in `folder`, or an address cannot be had.
        DiagonalError: the server ended before it answered.
    """
    port = _port_of(folder, port)
    command = [sys.executable, "-m", "diagonal_data.demo.server", folder, "--port", str(port)]
    with subprocess.Popen(
        [*command, "--until-stdin-closes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Ctrl-C is the driver's: it may still have requests in flight.
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None, "asked for a pipe"
            _check_started(process.stdout.readline(), folder, port)
            yield
        finally:
            _stop(process)


@contextmanager
def demo_web(folder: str | None) -> Iterator[None]:
    """`serving`, with the web built first if it is missing; nothing for None."""
    if folder is None:
        yield
        return
    ensure_site(folder)
    with serving(folder):
        yield


def _check_started(line: bytes, folder: str, port: int) -> None:
    """Returns if the web answers: from the new server, or from one that was there before."""
    if not line:
        raise DiagonalError("the demo's web server ended before it answered; its message is above")
    report = json.loads(line)
    if report["ready"] or _folder_served(report["host"]) == str(Path(folder).resolve()):
        return
    if report["errno"] == errno.EADDRNOTAVAIL:
        address = report["host"].partition(":")[0]
        raise UserError(
            f"this machine does not listen on {address}; the demo serves on the loopback addresses "
            f"{', '.join(ADDRESSES)}: on macOS run 'sudo ifconfig lo0 alias {address} up' for each"
        )
    raise UserError(
        f"cannot serve the demo's web on {report['host']}: {report['error']}; end the program that "
        f"uses port {port}, or build the web for another port: "
        f"python -m diagonal_data.demo.site FOLDER --port {port + 1}"
    )


def _folder_served(host: str) -> str | None:
    """What a demo server that runs already says it serves; None if something else answers."""
    connection = http.client.HTTPConnection(host, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", WHO_PATH)
        response = connection.getresponse()
        return response.read(4096).decode() if response.status == 200 else None
    except (OSError, http.client.HTTPException, UnicodeDecodeError):
        return None
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _read_site(folder: str) -> dict[str, Any]:
    path = Path(folder) / "site.json"
    if not path.is_file():
        raise UserError(
            f"no finished demo web in {folder!r}; "
            f"build it with 'python -m diagonal_data.demo.site {folder}'"
        )
    return json.loads(path.read_bytes())


def _port_of(folder: str, port: int | None) -> int:
    linked: int = _read_site(folder)["port"]
    return linked if port is None else port


def _answer(
    request: http_server.BaseRequest, root: Path, responses: Responses
) -> http_server.Response:
    """The planned answer if there is one, else the file, else 404."""
    assert request.transport is not None, "a request that is being answered has a connection"
    address, path = request.transport.get_extra_info("sockname")[0], request.path
    if path == WHO_PATH:
        return http_server.Response(text=str(root))
    planned = responses[address].get(path, {"status": 200, "headers": {}})
    if planned["status"] != 200:
        return http_server.Response(status=planned["status"], headers=planned["headers"])
    if ".." in path.split("/"):
        return http_server.Response(status=404, text="not found\n")
    name = path.lstrip("/") + ("index.html" if path.endswith("/") else "")
    try:
        content = (root / address / name).read_bytes()
    except (OSError, ValueError):
        return http_server.Response(status=404, text="not found\n")
    headers = {"Content-Type": mimetypes.guess_type(name)[0] or "application/octet-stream"}
    return http_server.Response(body=content, headers=headers | planned["headers"])


async def _serve(folder: str, port: int, *, until_stdin_closes: bool) -> int:
    """Serve until told to stop; the exit code."""
    root, responses = Path(folder).resolve(), _read_site(folder)["responses"]

    async def answer(request: http_server.BaseRequest) -> http_server.Response:
        return _answer(request, root, responses)

    runner = http_server.ServerRunner(
        http_server.Server(answer, access_log=None), shutdown_timeout=STOP_SECONDS / 5
    )
    await runner.setup()
    try:
        for address in ADDRESSES:
            try:
                await http_server.TCPSite(runner, address, port, backlog=1024).start()
            except OSError as error:
                host, words = f"{address}:{port}", error.strerror or str(error)
                _report(ready=False, host=host, errno=error.errno, error=words)
                return 1
        if until_stdin_closes:
            _report(ready=True)
        else:
            log.STDOUT.print(*(f"http://{host}/" for host in hosts_at(port)), sep="\n")
        await _told_to_stop(until_stdin_closes=until_stdin_closes)
        return 0
    finally:
        await runner.cleanup()


async def _told_to_stop(*, until_stdin_closes: bool) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if not until_stdin_closes:
        await stop.wait()
        return
    pipe = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(pipe), sys.stdin
    )
    waits = [asyncio.create_task(stop.wait()), asyncio.create_task(pipe.read())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    transport.close()


def _report(**facts: Any) -> None:
    """One line to whoever started this process."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve by hand until Ctrl-C, or for `serving` until its end of stdin closes."""
    parser = argparse.ArgumentParser(description="Serve the demo's small web.")
    parser.add_argument("folder")
    parser.add_argument("--port", type=int, help="default: the one the pages link to")
    parser.add_argument("--until-stdin-closes", action="store_true", help="used by the pipeline")
    given = parser.parse_args()
    try:
        port = _port_of(given.folder, given.port)
        serve = _serve(given.folder, port, until_stdin_closes=given.until_stdin_closes)
        sys.exit(asyncio.run(serve))
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
