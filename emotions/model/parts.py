"""The parts of the network, by the names that knobs and tables use."""

from typing import Final, Literal

Part = Literal["stem", "layer1", "layer2", "layer3", "layer4", "head"]
PARTS: Final[tuple[Part, ...]] = ("stem", "layer1", "layer2", "layer3", "layer4", "head")
