"""Report of the second pipeline: the vision-language model's rows beside those of the study."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emotions.evidence.messages import Said, said
from emotions.reporting.report import data_uri, environment, page
from emotions.reporting.wording import Wording

FIGURE = "plots/confusion_matrices.png"


@dataclass(frozen=True)
class Results:
    """`runs`, `ways`: name -> title, model, `val` and `test` as `vlm.shared.scores.score` gives them; a way
    also has `prompt`, `examples`, `decoding`, tokens, `reasons` and `units`. `against`: way -> paired tests
    with the run `best`. `limit`: images a split, or None for all."""

    source: str
    class_set: str
    classes: tuple[str, ...]
    data: str
    limit: int | None
    best: str
    runs: Mapping[str, dict[str, Any]]
    ways: Mapping[str, dict[str, Any]]
    against: Mapping[str, dict[str, Any]]
    majority: Mapping[str, float]


def summary(ways: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Flat metrics: way -> name -> value, with the model that answered."""
    return {
        name: {
            "model": model_name(way["model"]),
            **{f"{s}_{score}": way[s][score] for score in ("accuracy", "macro_f1") for s in ("val", "test")},
            "test_outside": way["test"]["outside"],
        }
        for name, way in ways.items()
    }


def model_name(identity: Mapping[str, str]) -> str:
    """Model name and the first 12 characters of its revision."""
    return f"{identity['model']} @ {identity['revision'][:12]}"


def markdown_report(results: Results, say: Wording) -> str:
    """The report as Markdown; the figure is linked relative to `report/`."""
    return environment(say).get_template("vlm.md.j2").render(_facts(results, say))


def html_report(results: Results, say: Wording, matrices: bytes) -> str:
    """The same as one self-contained HTML file. `matrices`: PNG."""
    return page(
        markdown_report(results, say), say, say("vlm-title"), pictures={FIGURE: data_uri(matrices, "png")}
    )


def _facts(results: Results, say: Wording) -> dict[str, Any]:
    everything = {**results.runs, **results.ways}

    def shown(split: dict[str, Any], score: str, digits: int | None) -> str:
        def number(value: float) -> str:
            return say.percent(value) if digits is None else say.decimal(value, digits)

        limits = split["intervals"].get(score)
        value = number(split[score])
        return say("ci", value=value, low=number(limits[0]), high=number(limits[1])) if limits else value

    return {
        "say": say,
        **{name: getattr(results, name) for name in (
            "source", "class_set", "classes", "data", "limit", "best", "against", "majority"
        )},
        "images": {s: everything[results.best][s]["images"] for s in ("val", "test")},
        "rows": [
            {
                "name": name,
                "title": row["title"],
                "model": f"`{model_name(row['model'])}`" if name in results.ways else say("vlm-resnet"),
                "val_accuracy": say.percent(row["val"]["accuracy"]),
                "test_accuracy": shown(row["test"], "accuracy", None),
                "val_macro_f1": say.decimal(row["val"]["macro_f1"], 3),
                "test_macro_f1": shown(row["test"], "macro_f1", 3),
                "outside": shown(row["test"], "outside", None) if name in results.ways else "",
            }
            for name, row in everything.items()
        ],
        "units": {name: way["units"] for name, way in results.ways.items() if way["units"]},
        "asked": [
            {
                "name": name,
                **way,
                "decoding": _decoding(way["decoding"]),
                "reasons": [
                    f"{say('vlm-reason-' + reason.replace(' ', '-'))} {count}"
                    for reason, count in way["reasons"].items()
                ],
            }
            for name, way in results.ways.items()
        ],
        "models": sorted(
            {
                "`" + ", ".join(f"{key}: {value}" for key, value in way["model"].items()) + "`"
                for way in results.ways.values()
            }
        ),
    }  # fmt: skip


def _decoding(decoding: Mapping[str, Any]) -> Said:
    if decoding["answer"] == "log_probability":
        return said("vlm-decoding-log-probability")
    if decoding["constrained"]:
        return said("vlm-decoding-constrained")
    return said("vlm-decoding-free", tokens=decoding["max_tokens"])
