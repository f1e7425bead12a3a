"""Files and folders that desktops, cameras and notebooks leave behind: no one means them as data."""

from typing import Final

NAMES: Final = frozenset(
    {
        "__macosx",
        "thumbs.db",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "thumbs.db:encryptable",
        "desktop.ini",
        "@eadir",
        "@__thumb",
        "@recycle",
        "#recycle",
        "$recycle.bin",
        "recycler",
        "found.000",
        "lost+found",
        "network trash folder",
        "temporary items",
        "system volume information",
        "wpsettings.dat",
        "indexervolumeguid",
        "picasa.ini",
        "zbthumbnail.info",
        "icon\r",
    }
)
"""Leftovers whose names do not begin with a dot, in lower case."""


def is_leftover(name: str) -> bool:
    """Whether a file or folder of this name is passed over: hidden (`.DS_Store`, `._face.jpg`, `.gitkeep`,
    `.ipynb_checkpoints`), a lock file of an office program (`~$notes.docx`), what Windows notes of a download
    (`face.png:Zone.Identifier`), or one of NAMES in any case."""
    name = name.casefold()
    return name.startswith((".", "~$")) or name.endswith(":zone.identifier") or name in NAMES
