"""A page on this computer that shows what a trained network sees in a picture.

Usage: python -m tools.serve.demo [--model models/best_resnet50.pth] [--port 7860]

Shows each face of a picture, largest first: the three most probable classes, the face beside its heat map,
whether it was cut out, and if not, why. Below stands the model card. The page answers this computer only
(127.0.0.1), asks no other host for anything, and keeps nothing. Pictures lie in a private temporary folder,
which is cleared after minutes and removed with the program (Ctrl-C, SIGTERM). Exit status 2: the page cannot
be shown.
"""

import argparse
import importlib.util
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from emotions.attention.knobs import AttentionError
from emotions.model import weight_files
from emotions.model.weight_files import WeightsError
from emotions.params_file import ParamsError
from emotions.taxonomy import display
from tools.serve import predict
from tools.serve.predictor import Failure, Prediction, Predictor, maps_of

if TYPE_CHECKING:
    from gradio import Blocks

HOST: Final = "127.0.0.1"
LARGEST: Final = "10mb"
"""Largest size of a picture's file."""
KEPT: Final = (60, 300)
"""Seconds between clearings of pictures, and the age from which they are cleared, in seconds."""
SILENT: Final = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}
"""Environment variables that stop libraries from reporting to their makers; read at import."""
CSS: Final = ".overlay :has(img), .overlay img { width: 100% !important; object-fit: contain !important }"
"""Style that widens the network's small pictures to the page."""
NOTE: Final = """\
# What a network sees in a face

The picture stays on this computer, and nothing is kept. Use your own face, or one whose owner agreed: reading
what strangers feel off their faces is a bad idea, and in part forbidden (EU AI Act); the card below says
more. A network of the default study has seen drawn faces only: what it says of a photograph means nothing.
A heat map is no proof of what the network needs.
"""
WHY: Final = {
    "a crop already": "The whole picture was taken: it is small, or one face fills it already.",
    "no face found": "The whole picture was taken: no face was found in it, so the answer means little.",
}
"""What was done with a picture from which no face was cut, by `how`."""


def done(one: dict[str, Any]) -> str:
    """What was done with the picture, for a person; `one` is a record of tools.serve.predict."""
    if one["how"] != "face":
        return WHY[one["how"]]
    left, top, right, bottom = one["box"]
    return (
        f"Face {one['face']} of {one['of']}, cut out of the picture: {right - left} x {bottom - top} px, "
        f"from {left}, {top}."
    )


def page(predictor: Predictor, card: str) -> "Blocks":
    """The page. `card`: Markdown. `predictor`: one that makes maps."""
    import gradio as gr  # not at the top: `main` sets its environment first

    def show(found: Prediction) -> None:
        one = predict.record(found, predictor.classes)
        gr.Markdown(f"{done(one)} Shown: what the network was given, and the heat map of its first answer.")
        with gr.Row():
            answers = {display(t["class"]): t["probability"] for t in one["top"]}
            gr.Label(answers, label="Most probable", show_heading=False)
            gr.Image(found.overlay(), format="png", show_label=False, buttons=[], elem_classes="overlay")

    with gr.Blocks(title="Compound emotions", analytics_enabled=False, delete_cache=KEPT) as blocks:
        gr.Markdown(NOTE)
        # Not gr.Image: it would decode the file before emotions.data.images has inspected it.
        given = gr.File(label="JPEG or PNG, 10 MB at most", file_types=sorted(predict.SUFFIXES), height=160)

        @gr.render(inputs=given, concurrency_limit=1)
        def answer(path: str | None) -> None:
            for found in predictor([Path(path)] if path else []):
                if isinstance(found, Failure):
                    why = found.why.replace(found.path, Path(found.path).name)
                    gr.Textbox(why, label="This picture cannot be used", lines=2)
                else:
                    show(found)

        gr.Markdown("---\n\n" + card)
    return blocks


def serve(blocks: "Blocks", port: int) -> NoReturn:
    """Show the page until a signal ends the program.

    Raises:
        OSError: the port is not available.
    """
    import gradio as gr

    plain = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    try:
        blocks.launch(
            server_name=HOST,
            server_port=port,
            share=False,
            max_file_size=LARGEST,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            mcp_server=False,
            ssr_mode=False,
            pwa=False,
            theme=plain,
            css=CSS,
            quiet=True,
            prevent_thread_lock=True,
        )
        print(f"http://{HOST}:{port} (Ctrl-C ends it)", flush=True)
        while True:  # not signal.pause(): it sleeps on if another thread gets the signal
            time.sleep(0.5)
    finally:
        blocks.close(verbose=False)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="tools.serve.demo"
    )
    parser.add_argument("--model", type=Path, default=Path("models/best_resnet50.pth"))
    parser.add_argument("--port", type=int, default=7860)
    arguments = parser.parse_args()
    if importlib.util.find_spec("gradio") is None:
        print("demo: gradio is not installed; `make demo` installs it", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _: sys.exit(128 + got))
    try:
        with tempfile.TemporaryDirectory(prefix="rafce-demo-", ignore_cleanup_errors=True) as folder:
            os.environ |= {"GRADIO_TEMP_DIR": folder} | SILENT
            from tools.serve import export

            predictor = Predictor(arguments.model, maps=maps_of(Path("params.yaml")))
            weights = weight_files.read_checkpoint(arguments.model)
            serve(page(predictor, export.card(weights, *export.of_these_weights(weights))), arguments.port)
    except (WeightsError, AttentionError, ParamsError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if "empty port" not in str(error):
            raise
        print(f"demo: port {arguments.port} is in use; name another: --port", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
