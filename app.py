"""Serve the FinePhys page: `python app.py`, and user studies beside it or alone."""

import argparse
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finephys.pipeline import Pipeline
    from study.site import Site

LOGGER = logging.getLogger("finephys.app")


def read_flags() -> argparse.Namespace:
    """Flags of the command line; on a Space the host and port come from the environment."""
    from finephys.config import CONFIGS

    parser = argparse.ArgumentParser(description="Serve the FinePhys page.")
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
    parser.add_argument("--port", type=_port, default=os.environ.get("GRADIO_SERVER_PORT", "7860"))
    parser.add_argument(
        "--tier", default="tiny", choices=list(CONFIGS), help="the model chosen at first"
    )
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--share", action="store_true", help="also a public link through Gradio")
    parser.add_argument(
        "--study",
        type=Path,
        default=os.environ.get("STUDY_FOLDER"),
        metavar="FOLDER",
        help="also serve the studies in FOLDER, and the administrator's page at /study-admin/",
    )
    parser.add_argument(
        "--study-only", type=Path, metavar="FOLDER", help="serve the studies alone, without models"
    )
    parser.add_argument(
        "--clips",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="clips on this machine that studies may be made from; may be given several times",
    )
    return parser.parse_args()


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; choose a number from 1 to 65535")
    return int(text)


def check_port(host: str, port: int) -> None:
    """Exit with one sentence when the address cannot be listened on."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        sys.exit(
            f"{host}:{port} cannot be used ({error}); stop the other program or choose another "
            f"port: python app.py --port {port + 1}"
        )


def load_models(pipeline: "Pipeline", ready: threading.Event) -> None:
    """Load the models so that the first press of Generate does not wait for them."""
    from finephys.errors import FinePhysError

    try:
        pipeline.warm_up()
    except FinePhysError as error:
        LOGGER.warning("Generate cannot work yet with the model chosen at first. %s", error)
    else:
        LOGGER.info("Models are loaded.")
    finally:
        ready.set()


def studies(folder: Path, flags: argparse.Namespace) -> "Site":
    """The user studies of a folder, or one sentence and the end when they cannot be served."""
    from study import serving
    from study.errors import StudyError

    try:
        return serving.start(folder, flags.clips, f"http://{flags.host}:{flags.port}")
    except StudyError as error:
        sys.exit(str(error))


def serve_demo(flags: argparse.Namespace) -> None:
    """Serve the page, then load the models while it is already being looked at."""
    from finephys.pipeline import Pipeline
    from finephys.ui import server
    from finephys.ui.runs import Runs

    folder = server.own_folder()

    from finephys.ui import page  # gradio reads its folder from the environment when imported

    ready = threading.Event()
    pipeline = Pipeline(flags.tier, flags.device)
    runs = Runs(folder / "results")
    blocks = page.build(pipeline, runs, ready)
    with contextlib.ExitStack() as stack:
        routes = server.routes(runs)
        if flags.study:
            routes += stack.enter_context(studies(flags.study, flags)).routes()
        blocks.launch(
            **page.LOOK,
            server_name=flags.host,
            server_port=flags.port,
            share=flags.share,
            allowed_paths=[],
            max_file_size=server.LARGEST_UPLOAD,
            app_kwargs={"routes": routes, "middleware": server.middleware()},
            ssr_mode=False,
            run_history=False,
            footer_links=[],
            enable_monitoring=False,
            show_error=False,
            prevent_thread_lock=True,
        )
        runs.keep_swept()
        threading.Thread(target=load_models, args=(pipeline, ready), daemon=True).start()
        blocks.block_thread()


def main() -> None:
    """Serve what the flags ask for until it is stopped."""
    flags = read_flags()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    check_port(flags.host, flags.port)
    # PyTorch's threads otherwise spin while they wait for each other: on two cores that are shared
    # with a browser, denoising then takes up to ten times as long. Read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Ending by a signal must still delete what people uploaded.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if flags.study_only:
        from study import serving

        serving.serve_site(studies(flags.study_only, flags), flags.host, flags.port)
    else:
        serve_demo(flags)


if __name__ == "__main__":
    main()
