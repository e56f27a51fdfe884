"""Serve the FinePhys page: `python app.py`, and user studies beside it or alone."""

import argparse
import contextlib
import logging
import os
import re
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finephys.pipeline import Pipeline
    from finephys.ui.server import Readiness
    from study.site import Site

LOGGER = logging.getLogger("finephys.app")

SPACE_PROXIES = "127.0.0.1,10.0.0.0/8"
"""Addresses whose X-Forwarded-For is believed on a Space: those of Hugging Face's own proxies."""


def read_flags() -> argparse.Namespace:
    """Flags of the command line; on a Space the host and port come from the environment."""
    from finephys.config import TIERS

    parser = argparse.ArgumentParser(description="Serve the FinePhys page.")
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
    parser.add_argument("--port", type=_port, default=os.environ.get("GRADIO_SERVER_PORT", "7860"))
    parser.add_argument(
        "--root-path",
        type=_root_path,
        default=os.environ.get("GRADIO_ROOT_PATH", ""),
        metavar="/PREFIX",
        help="public prefix of every address, which a reverse proxy removes before it asks here",
    )
    parser.add_argument("--tier", default="tiny", choices=list(TIERS), help="model chosen at first")
    parser.add_argument(
        "--device",
        default="auto",
        choices=["auto", "cpu", "cuda"],
        help="auto (the default): the GPU that torch finds, else the CPU",
    )
    parser.add_argument("--share", action="store_true", help="also a public link through Gradio")
    parser.add_argument(
        "--study",
        type=Path,
        default=os.environ.get("STUDY_FOLDER") or None,
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
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a valid port; choose a number from 1 to 65535"
        )
    return int(text)


def _root_path(text: str) -> str:
    path = text.rstrip("/")
    if path and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a path; give the public prefix alone, such as /finephys"
        )
    return path


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


def load_models(pipeline: "Pipeline", readiness: "Readiness") -> None:
    """Load the models, so that the first press of Generate does not wait for them."""
    from finephys.errors import FinePhysError

    try:
        pipeline.warm_up()
    except FinePhysError as error:
        LOGGER.warning("The model chosen at first cannot be used yet. %s", error)
    else:
        readiness.loaded.set()
        LOGGER.info("Models are loaded on %s.", pipeline.models.device)
    finally:
        readiness.settled.set()


def build_pipeline(flags: argparse.Namespace) -> "Pipeline":
    """The pipeline, with generation on a borrowed GPU on a ZeroGPU Space."""
    from finephys import zerogpu

    if not zerogpu.is_available():
        from finephys.pipeline import Pipeline

        return Pipeline(flags.tier, flags.device)
    import spaces  # before torch: it replaces what torch says of GPUs

    from finephys.pipeline import Pipeline

    return Pipeline(
        flags.tier,
        flags.device,
        borrow_gpu=lambda denoise: zerogpu.on_borrowed_gpu(denoise, spaces.GPU),
    )


def open_studies(folder: Path, flags: argparse.Namespace) -> "Site":
    """The user studies of a folder; exits with one sentence when they cannot be served."""
    from study import serving
    from study.errors import StudyError

    address = f"http://{flags.host}:{flags.port}{flags.root_path}"
    try:
        return serving.start(folder, flags.clips, address)
    except StudyError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{folder} cannot be used for studies ({error.strerror}); choose another folder.")


def serve_demo(flags: argparse.Namespace) -> None:
    """Serve the page, then load the models in the background."""
    from finephys.ui import server
    from finephys.ui.jobs import Jobs

    folder = server.create_private_folder()
    pipeline = build_pipeline(flags)

    from finephys.ui import page  # gradio reads its folder from the environment when imported

    readiness = server.Readiness()
    jobs = Jobs(folder / "results")
    blocks = page.build(pipeline, jobs, readiness)
    if pipeline.borrows_gpu:
        load_models(pipeline, readiness)  # ZeroGPU takes over what is on the GPU at the launch
    with contextlib.ExitStack() as stack:
        site = stack.enter_context(open_studies(flags.study, flags)) if flags.study else None
        blocks.launch(
            **page.LOOK,
            server_name=flags.host,
            server_port=flags.port,
            root_path=flags.root_path,
            share=flags.share,
            allowed_paths=[],
            max_file_size=server.LARGEST_UPLOAD,
            app_kwargs=server.app_options(folder, jobs, readiness, flags.root_path, site),
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            run_history=False,
            footer_links=[],
            enable_monitoring=False,
            show_error=False,
            prevent_thread_lock=True,
        )
        server.start_sweeping(jobs, folder / server.UPLOADS)
        if not pipeline.borrows_gpu:
            threading.Thread(target=load_models, args=(pipeline, readiness), daemon=True).start()
        blocks.block_thread()


def serve_studies(flags: argparse.Namespace) -> None:
    """Serve the studies alone."""
    from study import serving

    site = open_studies(flags.study_only, flags)
    serving.serve_site(site, flags.host, flags.port, root_path=flags.root_path)


def main() -> None:
    """Serve what the flags ask for until it is stopped."""
    flags = read_flags()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    check_port(flags.host, flags.port)
    # PyTorch's threads otherwise spin while they wait for each other: on two cores that are shared
    # with a browser, denoising then takes up to ten times as long. Read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if os.environ.get("SPACE_ID"):
        os.environ.setdefault("FORWARDED_ALLOW_IPS", SPACE_PROXIES)  # read by uvicorn
    # Ending by a signal must still delete what people uploaded.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if flags.study_only:
        serve_studies(flags)
    else:
        serve_demo(flags)


if __name__ == "__main__":
    main()
