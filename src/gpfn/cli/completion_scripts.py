"""The scripts of the shells: a table of places as each of them writes it.

All do the same. The words that were typed lead to a place; behind an option with a value there
are its choices, or files; a word that begins with a dash is an option; else there are the
place's sub-commands and choices, or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpfn.cli.completion import CompletedOption, CompletedPlace

__all__ = ["bash_script", "fish_script", "zsh_script"]

_BASH = """\
# Completes gpfn in bash; made by: gpfn completion bash
_gpfn() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} place= at found=
    if [[ $word == = ]]; then
        word=
    elif [[ $before == = ]]; then
        before=${COMP_WORDS[COMP_CWORD-2]}
    fi
    for ((at = 1; at < COMP_CWORD; at++)); do
        case "$place ${COMP_WORDS[at]}" in
            %(paths)s) place+=" ${COMP_WORDS[at]}" ;;
        esac
    done
    COMPREPLY=()
    case "$place $before" in
%(values)s
    esac
    case "$place" in
%(places)s
    esac
    COMPREPLY=($(compgen -W "$found" -- "$word"))
}
complete -o bashdefault -o default -F _gpfn gpfn
"""

_ZSH = """\
#compdef gpfn
# Completes gpfn in zsh; made by: gpfn completion zsh
_gpfn() {
    local word=${words[CURRENT]} before=${words[CURRENT-1]} place= each
    local -a found
    for each in "${(@)words[2,CURRENT-1]}"; do
        case "$place $each" in
            (%(paths)s) place+=" $each" ;;
        esac
    done
    if [[ $word == --*=* ]]; then
        before=${word%%%%=*}
        compset -P '*='
    fi
    case "$place $before" in
%(values)s
    esac
    case "$place" in
%(places)s
    esac
    if (( $#found )); then
        _describe gpfn found
    else
        _files
    fi
}
if [[ ${funcstack[1]} == _gpfn ]]; then
    _gpfn "$@"
else
    compdef _gpfn gpfn
fi
"""

_FISH = """\
# Completes gpfn in fish; made by: gpfn completion fish
function __gpfn_at
    set -l place ""
    for word in (commandline -opc)[2..-1]
        switch "$place $word"
            case %(paths)s
                set place "$place $word"
        end
    end
    test "$place" = "$argv[1]"
end
complete -c gpfn -e
%(places)s
"""


def bash_script(places: Sequence[CompletedPlace]) -> str:
    """Return what bash reads."""
    values, arms = [], []
    for place in places:
        for option in place.options:
            if option.valued:
                words = " ".join(option.choices)
                act = f'COMPREPLY=($(compgen -W "{words}" -- "$word")); ' if words else ""
                values.append(f"        {_cases(place, option.names)}) {act}return ;;")
        names = " ".join(name for option in place.options for name in option.names)
        plain = " ".join([*(name for name, _ in place.commands), *place.choices])
        arms.append(
            f'        "{_place(place)}") [[ $word == -* ]] && found="{names}" || found="{plain}" ;;'
        )
    paths = "|".join(f'"{_place(place)}"' for place in places[1:])
    return _BASH % {"paths": paths, "values": "\n".join(values), "places": "\n".join(arms)}


def zsh_script(places: Sequence[CompletedPlace]) -> str:
    """Return what zsh reads."""
    values, arms = [], []
    for place in places:
        for option in place.options:
            if option.valued:
                words = " ".join(_quoted(word) for word in option.choices)
                act = f"compadd -- {words}" if words else "_files"
                values.append(f"        ({_cases(place, option.names)}) {act}; return ;;")
        options = [(name, each.about) for each in place.options for name in each.names]
        plain = [*place.commands, *((word, "") for word in place.choices)]
        arms.append(
            f'        ("{_place(place)}") if [[ $word == -* ]]; then '
            f"found=({_described(options)}); else found=({_described(plain)}); fi ;;"
        )
    paths = "|".join(f'"{_place(place)}"' for place in places[1:])
    return _ZSH % {"paths": paths, "values": "\n".join(values), "places": "\n".join(arms)}


def fish_script(places: Sequence[CompletedPlace]) -> str:
    """Return what fish reads."""
    lines = []
    for place in places:
        start = f"complete -c gpfn -n '__gpfn_at {_quoted(_place(place), inner=True)}'"
        words = [*place.commands, *((word, "") for word in place.choices)]
        lines += [
            f"{start} -f -a {_quoted(word)} -d {_quoted(_line(about))}" for word, about in words
        ]
        lines += [f"{start} {_fish_option(option)}" for option in place.options]
    paths = " ".join(_quoted(_place(place)) for place in places[1:])
    return _FISH % {"paths": paths, "places": "\n".join(lines)}


def _fish_option(option: CompletedOption) -> str:
    words = [f"-l {name[2:]}" if name[:2] == "--" else f"-s {name[1:]}" for name in option.names]
    if option.choices:
        words.append(f"-x -a {_quoted(' '.join(option.choices))}")
    elif option.valued:
        words.append("-r -F")
    return " ".join([*words, "-d", _quoted(_line(option.about))])


def _place(place: CompletedPlace) -> str:
    """Return a place as the scripts spell it: a space before each word."""
    return "".join(f" {word}" for word in place.path)


def _cases(place: CompletedPlace, names: Sequence[str]) -> str:
    return "|".join(f'"{_place(place)} {name}"' for name in names)


def _described(words: Sequence[tuple[str, str]]) -> str:
    """Return words for zsh's _describe: a word, a colon, and a line on it."""
    return " ".join(_quoted(f"{word}:{_line(about)}" if about else word) for word, about in words)


def _line(text: str) -> str:
    return " ".join(text.split())


def _quoted(text: str, *, inner: bool = False) -> str:
    """Return a text between quotes; ``inner`` is for those that stand between others."""
    if inner:
        return f'"{text}"'
    return "'" + text.replace("'", "'\\''") + "'"
