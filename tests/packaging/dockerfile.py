"""Reads the Dockerfile and finds what must not be shipped. Nothing is built here; build_image.sh does that.

Usage: dockerfile.py ROOT VERSION
"""

import fnmatch
import json
import pathlib
import re
import shlex
import sys

KNOWN = {
    "FROM", "RUN", "COPY", "WORKDIR", "LABEL", "ENV", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD", "ARG",
    "STOPSIGNAL",
}


def instructions(text):
    """Yields (line number, keyword, arguments), continuation lines joined."""
    joined, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or (not joined and not line.strip()):
            continue
        start = start if joined else number
        if line.rstrip().endswith("\\"):
            joined += line.rstrip()[:-1] + " "
            continue
        keyword, _, arguments = (joined + line).strip().partition(" ")
        yield start, keyword, arguments.strip()
        joined = ""
    if joined:
        yield start, "unfinished", joined


def exec_form(arguments):
    """The list of an exec form, or None."""
    try:
        value = json.loads(arguments)
    except ValueError:
        return None
    good = isinstance(value, list) and value and all(isinstance(item, str) for item in value)
    return value if good else None


def ignored(path, patterns):
    """Whether .dockerignore keeps `path` out. The last pattern that fits it or a folder above it decides."""
    parts = pathlib.PurePosixPath(path).parts
    above = ["/".join(parts[: i + 1]) for i in range(len(parts))]
    out = False
    for pattern in patterns:
        keep = pattern.startswith("!")
        if any(fnmatch.fnmatch(name, pattern.lstrip("!").replace("**/", "")) for name in above):
            out = not keep
    return out


def copy_problems(root, arguments, stages, patterns):
    words = shlex.split(arguments)
    options = [word for word in words if word.startswith("--")]
    sources = [word for word in words if not word.startswith("--")][:-1]
    for option in options:
        if option.startswith("--from=") and option[len("--from="):] not in stages:
            yield f"copies from {option[len('--from='):]}, which is no earlier stage"
    if any(option.startswith("--from=") for option in options):
        return
    for source in sources:
        if not (root / source).exists():
            yield f"source {source} does not exist"
        elif ignored(source, patterns):
            yield f"source {source} is kept out by .dockerignore"


def problems(root, text, dockerignore, version):
    """All problems as text."""
    root = pathlib.Path(root)
    patterns = [line.strip() for line in dockerignore.splitlines() if line.strip() and not line.startswith("#")]
    found, stages, last = [], [], {}
    for number, keyword, arguments in instructions(text):
        def say(message, number=number, keyword=keyword):
            found.append(f"Dockerfile:{number}: {keyword}: {message}")

        if keyword == "ADD":
            say("fetches and unpacks silently; use COPY")
        elif keyword not in KNOWN:
            say("is not known here")
        elif keyword == "FROM":
            match = re.fullmatch(r"(\S+?)(?: AS (\S+))?", arguments)
            if not match:
                say(f'expected "FROM IMAGE [AS NAME]", found "{arguments}"')
                continue
            image, name = match.groups()
            if image not in stages and (":" not in image or image.endswith(":latest")):
                say(f"{image} has no fixed tag")
            stages.append(name or str(len(stages)))
            last = {}
        elif keyword == "COPY":
            for message in copy_problems(root, arguments, stages[:-1], patterns):
                say(message)
        elif keyword == "RUN" and re.search(r"\b(curl|wget)\b|https?://", arguments):
            say("downloads something that no package manager checks")
        elif keyword == "RUN" and "apt-get install" in arguments and not (
                "apt-get update" in arguments and "--no-install-recommends" in arguments and "rm -rf /var/lib/apt/lists" in arguments):
            say("apt-get install goes with update, --no-install-recommends and the removal of the lists")
        last[keyword] = (arguments, say)

    def check(keyword, holds, message):
        arguments, say = last.get(keyword, ("", lambda text: found.append(f"Dockerfile: {keyword}: {text}")))
        if not holds(arguments):
            say(message)

    if len(stages) < 2:
        found.append("Dockerfile: FROM: expected a stage that builds and one that ships")
    check("USER", lambda text: re.fullmatch(r"[1-9]\d*:[1-9]\d*", text), "expected UID:GID as numbers, not root's")
    check("ENTRYPOINT", lambda text: exec_form(text) == ["cairnd"], 'expected ["cairnd"]')
    check("HEALTHCHECK", lambda text: exec_form(text.partition("CMD ")[2]), "expected CMD in exec form")
    check("EXPOSE", lambda text: text == "7710", "expected 7710")
    check("LABEL", lambda text: f'image.version="{version}"' in text, f"expected the project's version {version}")
    check("VOLUME", lambda text: exec_form(text) == ["/var/lib/cairn"], 'expected ["/var/lib/cairn"]')
    return found


def main():
    root, version = pathlib.Path(sys.argv[1]), sys.argv[2]
    found = problems(root, (root / "Dockerfile").read_text(), (root / ".dockerignore").read_text(), version)
    print("\n".join(found) or "Dockerfile: no problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
