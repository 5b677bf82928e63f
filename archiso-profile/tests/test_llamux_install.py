# SPDX-License-Identifier: GPL-2.0-only OR MIT

"""Tests of llamux-install: python3 -m unittest discover archiso-profile/tests"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

sys.dont_write_bytecode = True
PROGRAM = Path(__file__).parent.parent / "airootfs/usr/local/bin/llamux-install"
loader = importlib.machinery.SourceFileLoader("llamux_install", str(PROGRAM))
spec = importlib.util.spec_from_loader("llamux_install", loader)
assert spec is not None
install = importlib.util.module_from_spec(spec)
loader.exec_module(install)

SIGNED = install.SIGNED
# What a user of archinstall may have, with everything in it that we touch.
ANSWERS: dict[str, Any] = {
    "hostname": "box",
    "kernels": ["linux-lts", "linux-llamux"],
    "packages": ["vim", "llamux-tools"],
    "custom_commands": ["touch /done"],
    "bootloader_config": {"bootloader": "Systemd-boot", "uki": False, "removable": False},
    "mirror_config": {"custom_repositories": [{"name": "other", "url": "https://example.org"}]},
    "timezone": "Europe/Berlin",
}


def with_llamux(answers: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The answers for SmolLM2, from the image's own repository."""
    values = {"model": "smollm2-135m", "place": None, "repo": None, "level": SIGNED, "uefi": True} | more
    return install.with_llamux(answers, **values)


class Answers(unittest.TestCase):
    """What archinstall is told."""

    def test_nothing_asked_for_gives_our_kernel_tools_and_model(self) -> None:
        new = with_llamux({})
        self.assertEqual(new["kernels"], ["linux-llamux"])
        self.assertEqual(new["packages"], ["llamux-tools", "llamux-model-smollm2"])
        self.assertEqual(len(new["custom_commands"]), 1)

    def test_what_is_there_stays(self) -> None:
        before = json.dumps(ANSWERS)
        new = with_llamux(ANSWERS)
        self.assertEqual(json.dumps(ANSWERS), before)
        self.assertEqual(new["kernels"], ["linux-llamux", "linux-lts"])
        self.assertEqual(new["packages"], ["vim", "llamux-tools", "llamux-model-smollm2"])
        self.assertEqual(new["custom_commands"][1:], ["touch /done"])
        for key in ("hostname", "bootloader_config", "mirror_config", "timezone"):
            self.assertEqual(new[key], ANSWERS[key])

    def test_twice_is_as_good_as_once(self) -> None:
        once = with_llamux(ANSWERS)
        self.assertEqual(with_llamux(once), once)
        other = with_llamux(once, model="tinyllama-1.1b")
        self.assertEqual(other["custom_commands"], with_llamux(ANSWERS, model="tinyllama-1.1b")["custom_commands"])

    def test_a_boot_loader_is_chosen_where_the_answers_have_none(self) -> None:
        for uefi, name in ((True, "Systemd-boot"), (False, "Grub")):
            for answers in ({}, {"bootloader_config": {}}, {"bootloader_config": None}):
                chosen = with_llamux(answers, uefi=uefi)["bootloader_config"]
                self.assertEqual(chosen, {"bootloader": name, "uki": False, "removable": False})
        chosen = with_llamux({"bootloader_config": {"uki": True}})["bootloader_config"]
        self.assertEqual(chosen, {"bootloader": "Systemd-boot", "uki": True, "removable": False})
        self.assertNotIn("bootloader_config", with_llamux({"bootloader": "grub"}))

    def test_each_answer_that_does_not_fit_is_refused(self) -> None:
        for answers, said in (
            ({"kernels": "linux"}, '"kernels" is not a list'),
            ({"packages": [1]}, '"packages" is not a list'),
            ({"custom_commands": {}, "packages": []}, None),
            ({"custom_commands": {"a": 1}}, '"custom_commands" is not a list'),
            ({"bootloader_config": "Grub"}, '"bootloader_config" is not an object'),
            ({"bootloader_config": {"bootloader": "Limine"}}, '"Limine" as the boot loader'),
            ({"bootloader": "efistub"}, '"efistub" as the boot loader'),
            ({"bootloader_config": {"bootloader": "grub"}}, None),
            ({"mirror_config": {"custom_repositories": [{"name": "llamux"}]}}, "twice"),
        ):
            with self.subTest(answers=answers):
                if said is None:
                    with_llamux(answers)
                    continue
                with self.assertRaises(install.Refused) as refused:
                    with_llamux(answers)
                self.assertIn(said, str(refused.exception))

    def test_files_that_are_no_answers_are_refused(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "a.json")
            with self.assertRaisesRegex(install.Refused, "No such file"):
                install.read_answers(path)
            for text, said in (("{", "a.json: "), ("[]", "not an object")):
                path.write_text(text, encoding="utf-8")
                with self.assertRaisesRegex(install.Refused, said):
                    install.read_answers(path)

    def test_archinstall_reads_them(self) -> None:
        try:
            import archinstall.lib.args  # noqa: F401
        except ImportError as error:
            self.skipTest(f"archinstall is not here, so that its parser is not asked ({error})")
        from archinstall.lib.args import ArchConfigHandler

        with tempfile.TemporaryDirectory() as directory:
            for answers in ({}, ANSWERS):
                # Regions and servers of mirrors are none of ours, and would be looked up.
                file = Path(directory, "answers.json")
                mirrors = {"custom_repositories": []}
                file.write_text(json.dumps(with_llamux(answers | {"mirror_config": mirrors})), encoding="utf-8")
                install.check_by_archinstall(file)
                argv, sys.argv = sys.argv, ["archinstall", "--config", str(file), "--silent"]
                try:
                    config = ArchConfigHandler().config
                finally:
                    sys.argv = argv
                self.assertEqual(config.kernels[0], "linux-llamux")
                self.assertEqual(config.packages[-2:], ["llamux-tools", "llamux-model-smollm2"])
                self.assertIn("llamux-setup --model", config.custom_commands[0])
                self.assertEqual(config.hostname, answers.get("hostname", "archlinux"))


class Choice(unittest.TestCase):
    """Which model, and from where."""

    def test_the_model_that_runs_is_the_one_to_install(self) -> None:
        line = "archisobasedir=llamux llamux_mem=192M llamux.model=smollm2-135m quiet"
        self.assertEqual(install.choose_model(line, 64000), "smollm2-135m")
        self.assertEqual(install.choose_model("llamux.model=a llamux.model=tinyllama-1.1b", 1), "tinyllama-1.1b")

    def test_without_one_it_is_the_largest_for_the_memory(self) -> None:
        for memory, model in ((64000, "tinyllama-1.1b"), (3500, "tinyllama-1.1b"), (3499, "smollm2-135m")):
            self.assertEqual(install.choose_model("quiet llamux.model=other", memory), model)
        with self.assertRaisesRegex(install.Refused, "no model fits into 512 MiB"):
            install.choose_model("", 512)

    def test_memory_is_read(self) -> None:
        self.assertEqual(install.memory_mb("MemTotal:        4030412 kB\nMemFree: 1 kB\n"), 3935)
        with self.assertRaises(install.Refused):
            install.memory_mb("nothing\n")

    def test_a_repository_is_a_section_of_its_own(self) -> None:
        self.assertTrue(install.has_repository("[options]\n[llamux]\nServer = x\n"))
        self.assertFalse(install.has_repository("[options]\n#[llamux]\n[llamux-testing]\n"))


    def test_packages_come_from_the_image_or_from_where_it_is_said(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            section = install.repository(None, SIGNED, Path(directory))
            self.assertEqual(section, f"[llamux]\nSigLevel = Optional TrustAll\nServer = file://{directory}\n")
            self.assertTrue(install.has_repository(section))
            section = install.repository("https://example.org", SIGNED, Path(directory))
            self.assertEqual(section, f"[llamux]\nSigLevel = {SIGNED}\nServer = https://example.org\n")
        with self.assertRaisesRegex(install.Refused, "give --repo URL"):
            install.repository(None, SIGNED, Path(directory))


class Finish(unittest.TestCase):
    """What is done in the installed system."""

    CONF = "[options]\nArchitecture = auto\n\n# ours\n[llamux]\nSigLevel = Optional TrustAll\nServer = file:///r\n"
    CORE = "[core]\nInclude = /etc/pacman.d/mirrorlist\n"

    def finish(
        self, conf: str, files: tuple[str, ...] = (), fails: str = "", **more: Any
    ) -> tuple[str, list[str], str]:
        """Runs the commands with programs that note their words; gives pacman.conf, the notes, and complaints."""
        values = {"model": "smollm2-135m", "place": None, "repo": None, "level": SIGNED} | more
        with tempfile.TemporaryDirectory() as directory:
            root = Path(directory)
            programs = root / "bin"
            programs.mkdir()
            for name in ("llamux-setup", "mkinitcpio", "grub-mkconfig"):
                program = programs / name
                note = f'#!/bin/sh\necho "{name} $*" >>{root}/notes\n[ "$1" != cmdline ] || echo llamux_mem=192M\n'
                note += "exit 1\n" if name == fails else ""
                program.write_text(note, encoding="utf-8")
                program.chmod(0o755)
            for path, text in (("etc/pacman.conf", conf), *((file, "llamux_mem=192M\n") for file in files)):
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text, encoding="utf-8")
            script = install.finish(**values).replace("/etc/", f"{root}/etc/").replace("/boot/", f"{root}/boot/")
            done = subprocess.run(
                ["bash", "-c", script],
                env={"PATH": f"{programs}:/usr/bin:/bin"},
                capture_output=True,
                text=True,
                check=False,
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            notes = (root / "notes").read_text(encoding="utf-8").replace(str(root), "").splitlines()
            return (root / "etc/pacman.conf").read_text(encoding="utf-8"), notes, done.stderr

    def test_the_model_is_set_up_before_the_initramfs_is_made(self) -> None:
        _, notes, said = self.finish(self.CORE, files=("boot/loader/entries/a.conf",))
        setup = "llamux-setup --model smollm2-135m --boot-loader --yes"
        self.assertEqual(notes, [setup, "mkinitcpio -P", "llamux-setup cmdline"])
        self.assertEqual(said, "")

    def test_grub_has_its_menu_made_again(self) -> None:
        _, notes, said = self.finish(self.CORE, files=("boot/grub/grub.cfg",), place="head")
        self.assertIn("llamux-setup --model smollm2-135m --in-initramfs head --boot-loader --yes", notes)
        self.assertIn("grub-mkconfig -o /boot/grub/grub.cfg", notes)
        self.assertEqual(said, "")

    def test_what_an_image_can_do_without_ends_no_installation(self) -> None:
        _, notes, said = self.finish(self.CORE, files=("boot/grub/grub.cfg",), fails="mkinitcpio")
        self.assertEqual(notes[-2:], ["grub-mkconfig -o /boot/grub/grub.cfg", "llamux-setup cmdline"])
        self.assertIn("mkinitcpio has complained", said)

    def test_a_boot_loader_that_was_not_told_is_named(self) -> None:
        _, _, said = self.finish(self.CORE)
        self.assertIn("add to the kernel's command line: llamux_mem=192M", said)

    def test_the_repository_of_the_image_goes(self) -> None:
        for conf in (self.CONF + self.CORE, self.CONF + self.CONF.split("# ours\n")[1] + self.CORE):
            new, _, _ = self.finish(conf, repo="file:///r")
            self.assertEqual(new, "[options]\nArchitecture = auto\n\n# ours\n" + self.CORE)

    def test_a_repository_that_stays_is_there_once(self) -> None:
        new, _, _ = self.finish(self.CONF + self.CORE, repo="https://example.org/$repo/$arch")
        self.assertEqual(new.count("[llamux]"), 1)
        self.assertIn(f"[llamux]\nSigLevel = {SIGNED}\nServer = https://example.org/$repo/$arch\n", new)

    def test_no_word_reaches_the_shell_as_a_command(self) -> None:
        evil = "https://x/$(touch /tmp/never)`id`'; exit 1 #"
        new, _, _ = self.finish(self.CORE, repo=evil)
        self.assertIn(f"Server = {evil}\n", new)


class CommandLine(unittest.TestCase):
    """How it is called."""

    def run_it(self, *args: str) -> subprocess.CompletedProcess[str]:
        """The program itself."""
        command = [sys.executable, str(PROGRAM), *args]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_answers_can_be_written_and_looked_at(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            out = Path(directory, "out.json")
            done = self.run_it("--model", "tinyllama-1.1b", "--write", str(out))
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("llamux-model-tinyllama", json.loads(out.read_text(encoding="utf-8"))["packages"])

    def test_wrong_calls_say_what_is_wrong(self) -> None:
        for args, said in (
            (("--silent",), "needs --config and --creds"),
            (("--repo-unsigned",), "is about --repo"),
            (("--model", "gpt"), "invalid choice"),
            (("--config", "/nonexistent.json"), "llamux-install: /nonexistent.json: "),
        ):
            done = self.run_it(*args)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(said, done.stderr)


if __name__ == "__main__":
    unittest.main()
