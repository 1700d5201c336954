"""Scripts that let a shell complete commands and settings, made from `configs/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from protgm.config import PATHS

__all__ = ["SHELLS", "script"]

SHELLS = ("bash", "zsh", "fish")

_BASH = """\
# protgm completion bash: put   eval "$(protgm completion bash)"   into ~/.bashrc
_protgm() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} command=${{COMP_WORDS[1]}} keys=
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{commands} --help --version" -- "$word"))
        [ ${{#COMPREPLY[@]}} -eq 1 ] && COMPREPLY=("${{COMPREPLY[0]}} ")
        return
    fi
    # Beyond the sign is a word of its own: files, which the shell completes by itself.
    [ "$word" = "=" ] || [ "${{COMP_WORDS[COMP_CWORD-1]}}" = "=" ] && return
    case $command in
{cases}
    esac
    COMPREPLY=($(compgen -W "$keys --help" -- "$word"))
}}
complete -o default -o nospace -F _protgm protgm
"""

_ZSH = """\
#compdef protgm
# protgm completion zsh: put   eval "$(protgm completion zsh)"   into ~/.zshrc, after compinit
_protgm() {{
    local -a keys
    if (( CURRENT == 2 )); then
        compadd -- {commands} --help --version
        return
    fi
    if [[ $PREFIX == *=* ]]; then
        compset -P '*='
        _files
        return
    fi
    case $words[2] in
{cases}
    esac
    compadd -S '' -- $keys
    compadd -- --help
}}
compdef _protgm protgm
"""


def script(shell: str, commands: Mapping[str, tuple[str, Sequence[str]]]) -> str:
    """A script for a shell.

    Parameters
    ----------
    shell : str
        bash, zsh or fish.
    commands : mapping of str to (str, sequence of str)
        What each command does in a line, and its settings.

    Raises
    ------
    ValueError
        If it is another shell.
    """
    if shell not in SHELLS:
        raise ValueError(f"shell={shell}: must be one of {', '.join(SHELLS)}")
    if shell == "fish":
        return _fish(commands)
    left, right = ("(", ")") if shell == "zsh" else ('"', '"')
    cases = "\n".join(
        f"        {command}) keys={left}{' '.join(f'{key}=' for key in found)}{right} ;;"
        for command, (_, found) in commands.items()
    )
    return (_ZSH if shell == "zsh" else _BASH).format(commands=" ".join(commands), cases=cases)


def _fish(commands: Mapping[str, tuple[str, Sequence[str]]]) -> str:
    lines = ["# protgm completion fish: put   protgm completion fish | source   into ~/.config/fish/config.fish"]
    lines.append("complete -c protgm -f")
    for command, (summary, _) in commands.items():
        said = summary.replace("\\", "\\\\").replace("'", "\\'")
        lines.append(f"complete -c protgm -n __fish_use_subcommand -a {command} -d '{said}'")
    for command, (_, found) in commands.items():
        for key in found:
            files = (
                f" (__fish_complete_path (commandline -ct | string replace {key}= '') | string replace -r '^' {key}=)"
            )
            more = files if key in PATHS else ""
            lines.append(f"complete -c protgm -n '__fish_seen_subcommand_from {command}' -a \"{key}={more}\"")
    return "\n".join(lines) + "\n"
