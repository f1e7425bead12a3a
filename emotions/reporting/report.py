"""Summary metric and report, as Markdown and HTML, from the metrics of all runs."""

import base64
import html
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jinja2
import markdown
import numpy as np
import pandas as pd
from markdown.extensions.toc import TocExtension, slugify_unicode
from pydantic import BaseModel

from emotions.evidence.claims import OUTCOMES, claims
from emotions.evidence.confusion_structure import class_bias, most_confused
from emotions.evidence.learning_curve import learning_curve
from emotions.evidence.messages import Said, said
from emotions.evidence.metrics import ENOUGH
from emotions.evidence.study import Study
from emotions.evidence.verdicts import VERDICTS
from emotions.reporting.figures import fit_jpeg
from emotions.reporting.sentences import claim_sentences, verdict_sentence
from emotions.reporting.wording import TEMPLATES, Wording
from emotions.sources import SOURCES
from emotions.taxonomy import COMPOUND, RAFCE_COUNTS, SPLITS

PHOTOGRAPH_BYTES = 2_500_000
"""Most bytes for all pictures of faces in report.html, which then stays under 5 MB for mail and phones."""


def summary(networks: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, float]]:
    """Flat metrics of the study: run -> name -> mean over seeds, and name_sd -> standard deviation.

    Standard deviations are absent with one seed. `gap` = train minus val accuracy.
    """
    found: dict[str, dict[str, float]] = {}
    for name, of_run in networks.items():
        by_seed = {
            f"{split}_{score}": [n["selected"][split][score] for n in of_run]
            for split in ("val", "test")
            for score in ("macro_f1", "balanced_accuracy", "accuracy")
        }
        by_seed["train_accuracy"] = [n["selected"]["train"]["accuracy"] for n in of_run]
        for gap, epoch in (("gap", "selected"), ("last_epoch_gap", "last")):
            by_seed[gap] = [n[epoch]["train"]["accuracy"] - n[epoch]["val"]["accuracy"] for n in of_run]
        by_seed["selected_epoch"] = [n["selected"]["epoch"] for n in of_run]
        found[name] = {}
        for key, values in by_seed.items():
            found[name][key] = float(np.mean(values))
            if len(values) > 1:
                found[name][f"{key}_sd"] = float(np.std(values, ddof=1))
    return found


def curves_csv(history: Mapping[str, pd.DataFrame]) -> str:
    """Training curves of all runs in long form, means over seeds: run, split, epoch, accuracy, loss."""
    means = {name: frame.groupby("epoch", as_index=False).mean() for name, frame in history.items()}
    parts = [
        frame.assign(run=name, split=split, accuracy=frame[f"{split}_accuracy"], loss=frame[f"{split}_loss"])
        for name, frame in means.items()
        for split in ("train", "val")
    ]
    columns = ["run", "split", "epoch", "accuracy", "loss"]
    return pd.concat(parts)[columns].round(6).to_csv(index=False, lineterminator="\n")


def facts(study: Study, say: Wording) -> dict[str, Any]:
    """Everything the template prints, computed from the measurements."""
    totals = summary(study.networks)
    decided = claims(study)
    ranking = sorted(study.runs, key=lambda n: -totals[n]["val_macro_f1"])
    return {
        "say": say,
        "study": study,
        "named": lambda name: say("run-title", name=name, title=_cell(say.known(study.titles[name]))),
        "summary": totals,
        "spread": lambda name, key, shown: _spread(totals[name], key, shown),
        "recipes": {n: study.params["runs"][n].model_dump(exclude_defaults=True) for n in study.runs},
        "three": lambda value: say.decimal(value, 3),
        "power_list": [
            said("power-item", difference=one["difference"], power=one["power"])
            for one in (study.comparisons["power"] or {"power": []})["power"]
        ],
        "single_knobs": study.knobs,
        **_curve(study),
        **_start(study, totals),
        "best": study.best,
        "totals": {
            role: {s: sum(row[s] for row in study.data[role].values()) for s in SPLITS}
            for role in ("compound", "basic")
        },
        "numbers": {c: COMPOUND.index(c) for c in study.classes},
        "published": RAFCE_COUNTS,
        "largest": max(study.classes, key=lambda c: sum(study.data["compound"][c].values())),
        **_audit(study),
        "verdicts": VERDICTS,
        "supported": {
            name: [v["name"] for v in run["verdicts"] if v["outcome"] == "supported"]
            for name, run in study.runs.items()
        },
        "bias": {
            name: class_bias(run, study.classes, study.train_counts) for name, run in study.runs.items()
        },
        "confusions": {name: most_confused(run, study.classes) for name, run in study.runs.items()},
        "claims": [claim_sentences(claim) for claim in decided],
        "counted": {v: sum(c.verdict == v for c in decided) for v in OUTCOMES},
        "methods": {"layercam": "LayerCAM", "gradcam": "Grad-CAM"},
        "ranked": [say("order-run", name=n, f1=totals[n]["val_macro_f1"]) for n in ranking],
        "params": {k: v.model_dump() if isinstance(v, BaseModel) else v for k, v in study.params.items()},
        **_uncertainty(study, say),
        **_attention(study, say),
        **_alternatives(study, say),
    }


def _curve(study: Study) -> dict[str, Any]:
    """The best run's learning curve, where its recipe was trained on three numbers of images."""
    curve = learning_curve(study.best, study.knobs, study.networks)
    points = curve["points"].items() if curve else ()
    return {
        "curve": curve,
        "curve_list": [
            said("curve-point", images=n, accuracy=float(np.mean(a)), seeds=len(a)) for n, a in points
        ],
    }


def _start(study: Study, totals: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """The linear probe of the start on test, and how far the means of the runs lie from it."""
    test = study.reference["test"]
    differences = {name: scores["test_accuracy"] - test["accuracy"] for name, scores in totals.items()}
    recalls = [c["recall"] for c in test["per_class"].values() if c["recall"] is not None]
    return {
        "start": test | {"balanced": float(np.mean(recalls))},
        "against_start": [
            said(
                "start-item",
                name=name,
                difference=abs(d),
                change="more" if d > 0.0005 else "less" if d < -0.0005 else "same",
            )
            for name, d in differences.items()
        ],
    }


def _spread(scores: Mapping[str, float], key: str, shown: Callable[[float], str]) -> str:
    """A mean and, with several seeds, its standard deviation: `0.470 ± 0.031`."""
    value = shown(scores[key])
    return f"{value} ± {shown(scores[key + '_sd'])}" if f"{key}_sd" in scores else value


def _uncertainty(study: Study, say: Wording) -> dict[str, Any]:
    """Intervals and tests, as the template prints them."""
    tests = {name: run["selected"]["test"] for name, run in study.runs.items()}
    first = next(iter(tests.values()))

    def with_interval(name: str, score: str, shown: Callable[[float], str]) -> str:
        value, interval = tests[name].get(score), tests[name]["intervals"].get(score)
        if value is None:
            return ""
        if interval is None:
            return shown(value)
        return say("ci", value=shown(value), low=shown(interval[0]), high=shown(interval[1]))

    def decimals(value: float) -> str:
        return say.decimal(value, 3)

    columns = {
        "macro_f1": decimals,
        "macro_f1_ten": decimals,
        "balanced_accuracy": say.percent,
        "accuracy": say.percent,
        "top2_accuracy": say.percent,
        "component_score": say.percent,
        "ece": decimals,
        "brier": decimals,
    }
    excess = [
        said(
            "excess-item",
            name=name,
            true=said(pair["true"]),
            predicted=said(pair["predicted"]),
            count=pair["count"],
            expected=pair["expected"],
        )
        for name, errors in study.comparisons["errors"].items()
        for pair in errors["excess"]
    ]
    return {
        "uncertain": {
            name: [with_interval(name, score, shown) for score, shown in columns.items()] for name in tests
        },
        "coverage": [
            said("coverage-run", name=name, coverage=test["macro_f1_coverage"])
            for name, test in tests.items()
        ],
        "of_ten": sum(s["support"] >= ENOUGH for s in first["per_class"].values()),
        "enough": ENOUGH,
        "pairs_of_runs": study.comparisons["pairs"],
        "power": study.comparisons["power"],
        "errors": study.comparisons["errors"],
        "excess_list": excess,
    }


def _attention(study: Study, say: Wording) -> dict[str, Any]:
    """Where the heat lies and what the answers rest on, as the template prints it."""
    first = study.attention[study.best]
    apart = [a for a in first["resolution"] if a in first["shares"]]
    tested = {name: f for name, f in study.faithfulness.items() if f["measured"]}

    def units(name: str, more: bool) -> str:
        found = (study.attention[name]["action_units"] or {"units": {}})["units"]
        return say.listing(
            [
                said("unit-item", unit=u, area=said(f"area-{one['area']}"), difference=one["difference"])
                for u, one in found.items()
                if (one["interval"][0] > 0 if more else one["interval"][1] < 0)
            ],
            "; " if say.language == "en" else " ; ",
        )

    return {
        "told_apart_names": apart,
        "told_apart": say.listing([said(f"area-{a}") for a in apart]),
        "not_told_apart": say.listing([said(f"area-{a}") for a in first["resolution"] if a not in apart]),
        "maps_tested": bool(tested),
        "tested_images": max((f["images"] for f in tested.values()), default=0),
        "withheld": {
            name: _withheld(attention, tested.get(name)) for name, attention in study.attention.items()
        },
        "units_known": any(a["action_units"] for a in study.attention.values()),
        "unit_lists": {
            name: {"more": units(name, True), "less": units(name, False)} for name in study.attention
        },
        "rests_on": [
            (name, split, found)
            for name, f in tested.items()
            for split, found in f["rests_on"].items()
            if found is not None
        ],
    }


def _withheld(attention: Mapping[str, Any], tested: Mapping[str, Any] | None) -> set[str]:
    """Areas whose share of heat says nothing about the network. It equals that of random weights, or the maps
    mark what the network uses no better than random maps."""
    if tested is None:
        return set()
    about = set(tested["passed"]["areas"]) if tested["passed"]["random"] else set()
    return set(attention["shares"]) - about


def _audit(study: Study) -> dict[str, Any]:
    """Counts of the data audit, as the template prints them."""
    data = study.data
    here = {c: sum(data["compound"][c].values()) for c in study.classes}
    published = {c: sum(RAFCE_COUNTS[c]) for c in study.classes}
    images = {role: sum(sum(row.values()) for row in data[role].values()) for role in ("compound", "basic")}
    soft, source = data["soft_labels"], SOURCES[study.params["data"].source]
    reasons = {r: by_role for r, by_role in data["dropped"].items() if _total(by_role)}

    def share(part: int, whole: int) -> float:
        return part / whole if whole else 0.0

    return {
        "shares": {
            c: {"here": here[c] / sum(here.values()), "published": published[c] / sum(published.values())}
            for c in study.classes
        },
        "dropped": reasons,
        "left_out": sum(map(_total, reasons.values())),
        "listed": _total(data["listed"]),
        "pairs": {k: counts for k, counts in data["pairs_across_splits"].items() if any(counts.values())},
        "known": {
            "action_units": share(data["with_action_units"]["compound"], images["compound"]),
            "basic_action_units": share(data["with_action_units"]["basic"], images["basic"]),
            "soft_labels": share(soft["compound"], images["compound"]),
            "soft_labels_agree": share(soft["compound_whose_two_highest_are_the_label"], soft["compound"]),
        },
        "open_licence": source.pictures_in_git and source.label_lists_in_git,
    }


def _total(by_role: Mapping[str, Mapping[str, int]]) -> int:
    return sum(sum(by_split.values()) for by_split in by_role.values())


def _alternatives(study: Study, say: Wording) -> dict[str, list[Said]]:
    """Alternative texts of the figures, by run, for readers who cannot see them."""
    confusions = {n: np.array(r["selected"]["val"]["confusion"]) for n, r in study.runs.items()}
    right, images = ({n: of(table) for n, table in confusions.items()} for of in (np.trace, np.sum))
    return {
        "alt_curves": [
            said(
                "curves-alt-run",
                name=name,
                train=float(last["train_accuracy"]),
                val=float(last["val_accuracy"]),
            )
            for name, frame in study.history.items()
            for last in [frame.groupby("epoch").mean().iloc[-1]]
        ],
        "alt_matrices": [
            said(
                "matrices-alt-run",
                name=n,
                right=int(right[n]),
                images=int(images[n]),
            )
            for n in study.runs
        ],
        "alt_calibration": [
            said(
                "calibration-alt-run",
                name=n,
                confidence=sum(b["images"] * b["confidence"] for b in r["selected"]["test"]["reliability"])
                / r["selected"]["test"]["images"],
                accuracy=r["selected"]["test"]["accuracy"],
            )
            for n, r in study.runs.items()
        ],
        "alt_attention": [
            said(
                "attention-alt-run",
                name=name,
                shares=say.listing(
                    [
                        said("attention-alt-area", area=said(f"area-{area}"), ratio=s["ratio"])
                        for area, s in a["shares"].items()
                    ]
                ),
            )
            for name, a in study.attention.items()
        ],
    }


def markdown_report(study: Study, say: Wording) -> str:
    """The report as Markdown; figures are linked relative to `report/`, galleries appear only in the HTML."""
    return environment(say).get_template("report.md.j2").render(facts(study, say), galleries=False)


def html_report(
    study: Study, say: Wording, figures: Mapping[str, bytes], *, photographs: Mapping[str, bytes]
) -> str:
    """The report as one self-contained HTML file.

    Args:
        figures: path from the root -> PNG bytes. photographs: path -> JPEG bytes of the pictures that show
        faces, the galleries and the contact sheet.
    """
    text = environment(say).get_template("report.md.j2").render(facts(study, say), galleries=True)
    pictures = {name: data_uri(picture, "png") for name, picture in figures.items()}
    pictures |= {
        name: data_uri(fit_jpeg(picture, PHOTOGRAPH_BYTES // len(photographs)), "jpeg")
        for name, picture in photographs.items()
    }
    return page(text, say, say.known(study.params["report"].title), pictures=pictures)


def page(text: str, say: Wording, title: str, *, pictures: Mapping[str, str]) -> str:
    """A report in Markdown as one self-contained HTML file.

    Args:
        pictures: path from the root -> data URI, for every picture that the report links as `../<path>`.
    """
    body = markdown.markdown(text, extensions=["tables", "fenced_code", TocExtension(slugify=_anchor)])
    for name, uri in pictures.items():
        wide = 'class="wide" ' if name.endswith("matrices.png") else ""
        body = body.replace(f'src="../{name}"', f'{wide}src="{uri}"')
    if 'src="../' in body:
        raise ValueError("report not self-contained: a linked picture is not embedded; add it to `pictures`")
    return (
        environment(say)
        .get_template("report.html.j2")
        .render(language=say.language, title=title, body=_scrolling(body))
    )


def _scrolling(body: str) -> str:
    """Put pictures and tables into scrolling boxes that the keyboard reaches; the page does not scroll."""
    body = re.sub(r"<p>(<img [^>]*>)</p>", r'<div class="box" tabindex="0">\1</div>', body)
    return re.sub(r"<table>(.*?)</table>", _boxed, body, flags=re.DOTALL)


def _boxed(table: re.Match[str]) -> str:
    """A table in its box. A table of sentences (class `prose`) becomes a list of blocks on a phone."""
    first = table[1].split("</thead>")[-1].split("</tr>")[0]
    cells = [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", first, re.DOTALL)]
    prose = len(cells) <= 3 and max(map(len, cells), default=0) > 30
    return f'<div class="box{" prose" if prose else ""}" tabindex="0">{table[0]}</div>'


def data_uri(picture: bytes, kind: str) -> str:
    """Data URI that embeds a picture."""
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def _cell(text: str) -> str:
    return html.escape(text, quote=False).replace("|", "\\|")


def _anchor(heading: str, separator: str = "-") -> str:
    """The anchor of a heading, as GitHub makes it: letters keep their accents, punctuation goes."""
    return slugify_unicode(heading, separator)


def environment(say: Wording) -> jinja2.Environment:
    """The templates, with filters that print numbers and names as `say` does."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - Markdown; names come from the taxonomy and from params.yaml
    )

    def p_value(p: float) -> str:
        """`p` to four decimals, or `< 0.0001`."""
        return say.decimal(p, 4) if p >= 0.0001 else f"&lt; {say.decimal(0.0001, 4)}"

    def interval(value: float, limits: list[float] | None, digits: int) -> str:
        shown = [say.decimal(number, digits) for number in (value, *(limits or ()))]
        return say("ci", value=shown[0], low=shown[1], high=shown[2]) if limits else shown[0]

    found.filters |= {
        "percent": say.percent,
        "decimal": say.decimal,
        "whole": lambda number: say.decimal(number, 0),
        "literal": lambda number: f"`{number:g}`".replace("e-0", "e-"),
        "class": lambda label: say(label),
        "verdict": lambda name: say(f"verdict-{name.replace(' ', '-')}"),
        "outcome": lambda name: say(f"outcome-{name.replace(' ', '-')}"),
        "claimed": lambda name: say(f"claim-{name.replace(' ', '-')}"),
        "evidence": verdict_sentence,
        "ci": lambda change: say(
            "ci",
            value=say.change(change["difference"]),
            low=say.change(change["interval"][0]),
            high=say.change(change["interval"][1]),
        ),
        "decimal_ci": lambda change: interval(change["difference"], change["interval"], 3),
        "signed": lambda value: f"{'+' if value > 0 else ''}{say.decimal(value, 3)}",
        "change_f1": lambda change: interval(change.difference, list(change.interval), 3) if change else "",
        "change_points": lambda change: (
            say(
                "ci",
                value=say.change(change.difference),
                low=say.change(change.interval[0]),
                high=say.change(change.interval[1]),
            )
            if change
            else ""
        ),
        "plain_ci": lambda change: interval(change["difference"], change["interval"], 2),
        "mean_ci": lambda one, digits: interval(one["mean"], one["interval"], digits),
        "ratio": lambda one: interval(one["ratio"], one["interval"], 2),
        "p": p_value,
        "correlation": lambda test: f"{say.decimal(test['r'], 2)} ({p_value(test['p'])})" if test else "",
        "capitalised": lambda text: text[:1].upper() + text[1:],
        "cell": _cell,
        "attribute": lambda text: text.replace('"', "'").replace("[", "(").replace("]", ")"),
        "anchor": _anchor,
    }
    return found
