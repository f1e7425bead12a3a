"""Time and memory of asking Qwen2-VL-2B about a data set: arithmetic from its sizes, not a measurement.

Usage: python -m benchmarks.vlm [--images 1811] [--batch 8] [--gpu T4]

The weights are counted on a network without data. The prompts are those of vlm/prompts, at four characters a
token. A prompt costs two operations a weight and token; a token of an answer costs one reading of all weights
for the whole batch. Memory: weights and kept tokens, without activations.
"""

import argparse
from pathlib import Path
from typing import Any, Final

import torch

from rafce import extras, params
from rafce.taxonomy import ACTION_UNITS, compound_classes
from rafce.vlm.conversation import read_prompt
from rafce.vlm.reading import names

with extras.importing("vlm"):
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

TEXT: Final[dict[str, Any]] = {
    "vocab_size": 151936,
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}
VISION: Final[dict[str, Any]] = {"depth": 32, "embed_dim": 1280, "hidden_size": 1536, "num_heads": 16}
"""Of Qwen/Qwen2-VL-2B-Instruct; what is not named is transformers' default."""

GPUS: Final = {"T4": (65e12, 320e9), "A100": (312e12, 2.0e12), "H100": (989e12, 3.35e12)}
"""Half-precision operations and bytes of memory read a second, at most (data sheets)."""

CHARACTERS: Final = 4
SHARE: Final = 0.3
"""Of both peaks that a run reaches; an assumption."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--images", type=int, default=917 + 894, help="default: RAF-CE, 11 classes, val and test"
    )
    parser.add_argument("--side", type=int, default=224, help="pixels")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--gpu", choices=GPUS, default="T4")
    arguments = parser.parse_args()
    with torch.device("meta"):
        model = Qwen2VLForConditionalGeneration(
            Qwen2VLConfig(text_config=TEXT, vision_config=VISION, tie_word_embeddings=True)
        )
    weights = sum(p.numel() for p in model.parameters())
    vision = sum(p.numel() for p in model.model.visual.parameters())
    patches = (arguments.side // 14) ** 2
    image = patches // 4
    kept = 2 * TEXT["num_hidden_layers"] * TEXT["num_key_value_heads"] * 128 * 2
    print(f"weights: {weights / 1e9:.2f} billion, {2 * weights / 2**30:.1f} GiB in half precision")
    print(
        f"{arguments.side} px: {patches} patches, {image} tokens an image; {kept / 1024:.0f} KiB a kept token"
    )
    operations, reads = GPUS[arguments.gpu]
    classes = compound_classes("rafdb11")
    print(
        f"\n{arguments.gpu}, batches of {arguments.batch}, {arguments.images} images, {SHARE:.0%} of peak:\n"
    )
    print("| Way | Tokens of a prompt | Tokens of an answer, at most | Memory, GiB | Minutes |")
    print("|:--|--:|--:|--:|--:|")
    for name, way in params.load(Path("vlm/params.yaml"))["ways"].items():
        values = {"classes": names(classes), "units": ACTION_UNITS}
        prompt = read_prompt(Path(f"vlm/prompts/{way['prompt']}.md"), values)
        pictures = 1 + way["shots"] * len(classes)
        words = len(prompt.instruction) + pictures * (len(prompt.question) + 20)
        asked = words // CHARACTERS + pictures * image
        by_choice = way["decoding"]["answer"] == "log_probability"
        sequences = len(classes) if by_choice else arguments.batch
        answered = 8 if by_choice or way["decoding"]["constrained"] else way["decoding"]["max_tokens"]
        memory = 2 * weights + sequences * (asked + answered) * kept
        passes = len(classes) if by_choice else 1
        prefill = passes * 2 * ((weights - vision) * asked + vision * patches * pictures) / operations
        decoding = 0 if by_choice else answered * 2 * weights / reads / arguments.batch
        minutes = arguments.images * (prefill + decoding) / SHARE / 60
        print(f"| {name} | {asked} | {answered} | {memory / 2**30:.1f} | {minutes:.1f} |")


if __name__ == "__main__":
    main()
