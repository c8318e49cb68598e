"""Completion scripts, asked through the shells themselves."""

import shutil
import subprocess
import unittest

from program import TENURE, USAGE, ProgramCase


class Completion(ProgramCase):
    def setUp(self):
        super().setUp()
        self.environment["PATH"] = f"{TENURE.parent}:{self.environment['PATH']}"
        (self.folder / "some.toml").touch()
        (self.folder / "folder").mkdir()

    def shell(self, *command):
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, env=self.environment, timeout=60, check=False)
        self.assertEqual(done.stderr, "")
        return [line.split("\t")[0] for line in done.stdout.split("\n") if line]

    def bash(self, line):
        words = line.split(" ")
        quoted = " ".join(f"'{w}'" for w in words)
        return self.shell("bash", "-c", f'source <(tenure completion bash); COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _tenure; printf "%s\\n" "${{COMPREPLY[@]}}"')

    def fish(self, line):
        return self.shell("fish", "-N", "-c", f"source (tenure completion fish | psub); complete -C '{line}'")

    def agree(self, complete):
        self.assertEqual(set(complete("tenure va")), {"validate"})
        self.assertLessEqual({"run", "plugin", "demo", "completion"}, set(complete("tenure ")))
        self.assertEqual(set(complete("tenure plugin ")), {"list", "show", "new", "check", "doctor"})
        self.assertEqual(set(complete("tenure graph --form")), {"--format"})
        self.assertEqual(set(complete("tenure graph --format ")), {"dot", "mermaid", "json"})
        self.assertIn("some.toml", complete("tenure validate so"))
        self.assertIn("streaming_llm", complete("tenure generate --policy str"))
        self.assertNotIn("cpu", complete("tenure generate --policy "))
        self.assertEqual(complete("tenure run --backend cp"), ["cpu"])
        self.assertEqual(complete("tenure explain E010"), [w for w in complete("tenure explain ") if w.startswith("E010")])
        self.assertIn("E0107", complete("tenure explain E010"))
        self.assertIn("h2o", complete("tenure plugin show h2"))
        self.assertEqual(set(complete("tenure completion ")), {"bash", "zsh", "fish"})
        self.assertEqual([w.rstrip("/") for w in complete("tenure report fol")], ["folder"])
        self.assertIn("--json", complete("tenure doctor --j"))
        self.assertNotIn("--json", complete("tenure plugin doctor --"))

    def test_bash(self):
        self.agree(self.bash)

    @unittest.skipUnless(shutil.which("fish"), "fish is not installed")
    def test_fish(self):
        self.environment["HOME"] = str(self.folder)
        self.agree(self.fish)

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
    def test_zsh(self):
        self.environment["HOME"] = str(self.folder)
        self.agree(self.zsh)

    def zsh(self, line):
        """What zsh offers, read from a pseudo-terminal: its completion needs a line editor."""
        script = self.folder / "capture.zsh"
        script.write_text(CAPTURE)
        offered = self.shell("zsh", "-f", str(script), line)
        script.unlink()
        return [word.rstrip("\r").strip() for word in offered]

    def test_unknown_shell(self):
        self.tenure("completion", "powershell", expect=USAGE)


# Runs an interactive zsh under zpty, types the line and a tab, and prints the matches that compadd was given.
CAPTURE = r"""
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z 'PROMPT=; unsetopt zle_bracketed_paste; autoload -Uz compinit; compinit -u -D; source <(tenure completion zsh)'
zpty -w z 'compadd() { [[ ${@[1,(i)(-|--)]} == *-(O|A|D)* ]] && { builtin compadd "$@"; return }
  typeset -a offered; builtin compadd -A offered "$@"; (( $#offered )) && print -rl -- "MATCH "${^offered}; builtin compadd "$@" }'
zpty -w z 'zstyle ":completion:*" list-prompt ""; LISTMAX=10000; bindkey "^I" complete-word; print READY'
local chunk all=
repeat 200 { zpty -r -t z chunk && all+=$chunk || sleep 0.02; [[ $all == *$'\n'READY* ]] && break }
zpty -w -n z "$1"$'\t'
all=
local -i quiet=0
repeat 200 {
  if zpty -r -t z chunk; then all+=$chunk; quiet=0; else sleep 0.02; quiet+=1; fi
  (( quiet > 20 )) && [[ $all == *MATCH* ]] && break
}
print -r -- $all | grep -o 'MATCH [^[:cntrl:]]*' | sed 's/^MATCH //' | sort -u
zpty -d z
"""

if __name__ == "__main__":
    unittest.main()
