#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""The package llamux: without a kernel that answers, and with one. `cargo xtask test` runs this in both places."""

import contextlib
import errno
import gc
import math
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import unittest

import llamux

EXAMPLE = pathlib.Path(__file__).resolve().parent.parent / "examples" / "ask.py"
KERNEL = os.path.exists("/proc/llamux/status")
# Answers that take long, whatever the model has to say, if nothing ends them.
STORY = "Write a story of a hundred chapters."
LONG = {"max_tokens": 1500, "temperature": 0, "grammar": llamux.Grammar("root ::= [a-z ]{2000}")}


class Arguments(unittest.TestCase):
    """What is wrong whatever the kernel."""

    def test_values_that_cannot_be_are_named(self):
        for options, part in [
            ({"temperature": 11}, "temperature is 11, and may be 0 to 10"),
            ({"temperature": math.nan}, "temperature is NaN"),
            ({"max_tokens": 0}, "max_tokens is 0, and may be at least 1"),
            ({"top_p": 1.5}, "top_p is 1.5"),
            ({"timeout": -1}, "timeout is -1"),
            ({"grammar": "root ::= ("}, "the grammar: "),
            ({"grammar": ""}, "the grammar: "),
        ]:
            with self.subTest(options), self.assertRaises(ValueError) as caught:
                llamux.ask("Why?", **options)
            self.assertIn(part, str(caught.exception))

    def test_an_empty_question_is_none(self):
        with self.assertRaisesRegex(ValueError, "the question is empty"):
            llamux.ask("")

    def test_types_that_cannot_be_are_refused(self):
        for options in [{"grammar": 7}, {"stop": "word"}, {"max_tokens": "many"}, {"no_such": 1}]:
            with self.subTest(options), self.assertRaises(TypeError):
                llamux.ask("Why?", **options)
        for value in [-1, 1 << 32]:
            with self.subTest(value), self.assertRaises(OverflowError):
                llamux.ask("Why?", max_tokens=value)
        with self.assertRaises(UnicodeError):
            llamux.ask("half of a pair: \ud800")

    def test_grammars_are_compiled_or_say_what_is_wrong(self):
        self.assertRegex(repr(llamux.Grammar('root ::= "yes" | "no"')), r"<llamux.Grammar of \d+ bytes>")
        with self.assertRaisesRegex(ValueError, "answer"):
            llamux.Grammar("root ::= answer")

    def test_exceptions_are_those_of_the_system_too(self):
        names = [name for name in dir(llamux) if isinstance(getattr(llamux, name), type)]
        errors = [getattr(llamux, name) for name in names if issubclass(getattr(llamux, name), Exception)]
        self.assertGreater(len(errors), 10)
        for error in errors:
            with self.subTest(error):
                self.assertTrue(issubclass(error, llamux.Error) and issubclass(error, OSError))
                self.assertEqual(error.__module__, "llamux")
                self.assertTrue(error.__doc__)
        self.assertTrue(issubclass(llamux.TimedOut, TimeoutError))
        self.assertTrue(issubclass(llamux.Forbidden, PermissionError))
        self.assertTrue(issubclass(llamux.Loading, BlockingIOError))


@unittest.skipIf(KERNEL, "this kernel has Llamux")
class WithoutKernel(unittest.TestCase):
    def test_every_call_says_which_kernel_to_boot(self):
        for call in [
            lambda: llamux.ask("Why?"),
            lambda: llamux.ask("Why?", model="smollm2-135m"),
            llamux.Session,
            llamux.models,
            llamux.status,
            lambda: llamux.embed("a llama"),
        ]:
            # A filter may keep the call from a kernel without Llamux, too.
            with self.assertRaises((llamux.NoKernel, llamux.Forbidden)) as caught:
                call()
            self.assertIn(caught.exception.errno, (errno.ENOSYS, errno.ENOENT, errno.EPERM))
            self.assertRegex(caught.exception.strerror, "Llamux")

    def test_the_example_says_what_is_wrong(self):
        ran = subprocess.run([sys.executable, EXAMPLE, "Why?"], capture_output=True, text=True)
        self.assertEqual((ran.returncode, ran.stdout), (1, ""))
        self.assertIn("Llamux", ran.stderr)
        self.assertNotIn("Traceback", ran.stderr)
        usage = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True)
        self.assertEqual(usage.returncode, 2)


@unittest.skipUnless(KERNEL, "this kernel has no Llamux")
class WithKernel(unittest.TestCase):
    def test_an_answer_is_the_same_in_one_piece_and_in_parts(self):
        whole = llamux.ask("Name three colours.", max_tokens=30, temperature=0)
        self.assertTrue(whole.strip())
        with llamux.Session() as session:
            answer = session.ask("Name three colours.", max_tokens=30, temperature=0)
            parts = list(answer)
            self.assertGreater(len(parts), 1)
            self.assertEqual("".join(parts), whole)
            self.assertEqual((answer.text, str(answer), list(answer)), (whole, whole, []))
            self.assertIn(answer.stop_reason, ("end", "length"))
            self.assertTrue(0 < answer.tokens <= 30 and answer.prompt_tokens > 4)
            self.assertEqual(session.tokens, answer.prompt_tokens + answer.tokens)
        with llamux.Session() as session:
            # Part of it is read in parts.
            answer = session.ask("Name three colours.", max_tokens=30, temperature=0)
            next(answer)
            self.assertEqual(answer.text, whole)

    def test_a_seed_repeats_an_answer_and_none_does_not(self):
        ask = lambda **more: llamux.ask("Tell me something.", max_tokens=24, temperature=1.5, **more)
        self.assertEqual(ask(seed=7), ask(seed=7))
        self.assertGreater(len({ask() for _ in range(4)}), 1)

    def test_an_answer_keeps_to_its_grammar(self):
        for grammar in ['root ::= "yes" | "no"', llamux.Grammar('root ::= "yes" | "no"')]:
            self.assertIn(llamux.ask("Is Linux a kernel?", grammar=grammar), ("yes", "no"))

    def test_a_stop_ends_an_answer(self):
        with llamux.Session() as session:
            answer = session.ask("1, 2, 3, 4,", raw=True, max_tokens=40, temperature=0, stop=["7"])
            self.assertNotIn("7", answer.text)
            self.assertEqual(answer.stop_reason, "stopped")
        self.assertEqual(llamux.ask("1, 2, 3, 4,", raw=True, max_tokens=40, temperature=0, stop=["7"]), answer.text)

    def test_a_conversation_has_roles(self):
        with llamux.Session(system="You are a poet.") as session:
            session.say("My name is Ada.")
            session.say("Hello, Ada.", role="assistant")
            self.assertTrue(session.ask("What is my name?", max_tokens=12).text)
            before = session.tokens
            self.assertTrue(session.ask("And again?", max_tokens=12).text)
            self.assertGreater(session.tokens, before)
            with self.assertRaisesRegex(ValueError, 'there is no role "poet"'):
                session.say("A rose", role="poet")
            with session.fork() as other:
                self.assertEqual(other.tokens, session.tokens)
                session.reset()
                self.assertEqual(session.tokens, 0)
                self.assertGreater(other.tokens, 0)
                self.assertGreater(session.context_left, other.context_left)

    def test_a_closed_session_says_so(self):
        with llamux.Session() as session:
            answer = session.ask(STORY, **LONG)
            next(answer)
        self.assertTrue(session.closed)
        self.assertEqual(repr(session), "<llamux.Session closed>")
        # The answer ends with it.
        self.assertEqual((list(answer), answer.stop_reason), ([], "cancelled"))
        for call in [lambda: session.ask("Why?"), lambda: session.say("Because."), session.fork, session.reset]:
            with self.assertRaisesRegex(ValueError, "closed"):
                call()
        session.close()

    def test_one_answer_at_a_time(self):
        with llamux.Session() as session:
            answer = session.ask(STORY, **LONG)
            next(answer)
            with self.assertRaises(llamux.Busy) as caught:
                session.ask("Why?")
            self.assertEqual(caught.exception.errno, errno.EBUSY)
            answer.cancel()
            self.assertEqual((list(answer), answer.stop_reason), ([], "cancelled"))
            self.assertTrue(session.ask("Why?", max_tokens=4).text)
            # Nobody has this one any more.
            for _ in session.ask(STORY, **LONG):
                break
            gc.collect()
            start = time.monotonic()
            self.assertTrue(session.ask("Why?", max_tokens=4).text)
            self.assertLess(time.monotonic() - start, 3)

    def test_another_thread_ends_an_answer(self):
        with llamux.Session() as session:
            threading.Timer(0.2, session.cancel).start()
            answer = session.ask(STORY, **LONG)
            self.assertTrue(answer.text)
            self.assertEqual(answer.stop_reason, "cancelled")
            self.assertTrue(session.ask("Why?", max_tokens=4).text)

    def test_other_threads_run_meanwhile(self):
        done = threading.Event()

        def work():
            llamux.ask(STORY, **LONG)
            done.set()

        thread = threading.Thread(target=work)
        thread.start()
        steps = 0
        while not done.is_set():
            time.sleep(0.005)
            steps += 1
        thread.join()
        self.assertGreater(steps, 10)

    def test_an_interrupt_ends_an_answer(self):
        def interrupt():
            os.kill(os.getpid(), signal.SIGINT)

        with llamux.Session() as session:
            for ask in [
                lambda: llamux.ask(STORY, **LONG),
                lambda: llamux.ask(STORY, system="Be brief.", **LONG),
                lambda: session.ask(STORY, **LONG).text,
            ]:
                start = time.monotonic()
                threading.Timer(0.2, interrupt).start()
                with self.assertRaises(KeyboardInterrupt):
                    ask()
                self.assertLess(time.monotonic() - start, 3)
            self.assertTrue(session.ask("Why?", max_tokens=4).text)

    def test_a_signal_that_is_handled_ends_nothing(self):
        expected = llamux.ask("Count to ten.", max_tokens=60, temperature=0)
        came = []
        before = signal.signal(signal.SIGALRM, lambda number, _: came.append(number))
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            self.assertEqual(llamux.ask("Count to ten.", max_tokens=60, temperature=0), expected)
            signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
            start = time.monotonic()
            # What the last of its calls has come to, if that has come to anything.
            with contextlib.suppress(TimeoutError):
                llamux.ask(STORY, timeout=0.5, **LONG)
            self.assertLess(time.monotonic() - start, 3)
            with llamux.Session() as session:
                self.assertEqual(session.ask("Count to ten.", max_tokens=60, temperature=0).text, expected)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        self.assertTrue(came)

    def test_models_and_status(self):
        default = [model for model in llamux.models() if model.default]
        self.assertEqual([model.state for model in default], ["ready"])
        self.assertGreater(default[0].bytes, 1 << 20)
        self.assertIn(default[0].name, repr(default[0]))
        self.assertEqual(llamux.status()["state"], "ready")
        named = llamux.ask("Why?", model=default[0].name, max_tokens=16, temperature=0)
        self.assertEqual(named, llamux.ask("Why?", max_tokens=16, temperature=0))
        with llamux.Session(default[0].name) as session:
            self.assertEqual(session.model, default[0].name)

    def test_vectors_of_like_texts_are_near(self):
        one, two, far = (llamux.embed(text) for text in ["The cat sleeps.", "A cat sleeps.", "int main(void) {"])
        product = lambda a, b: sum(x * y for x, y in zip(a, b))
        self.assertAlmostEqual(product(one, one), 1, places=3)
        self.assertGreater(product(one, two), product(one, far))

    def test_errors_have_their_numbers(self):
        for call, error, number in [
            (lambda: llamux.ask("x" * (llamux.PROMPT_MAX + 1)), llamux.TooLong, errno.EMSGSIZE),
            (lambda: llamux.ask("word " * 20000), llamux.TooLong, errno.EOVERFLOW),
            (lambda: llamux.ask("Why?", model="nobody"), llamux.UnknownModel, errno.ENOENT),
            (lambda: llamux.Session("nobody"), llamux.UnknownModel, errno.ENOENT),
            (lambda: llamux.ask(STORY * 40, timeout=0.001), llamux.TimedOut, errno.ETIMEDOUT),
            (lambda: llamux.ask(STORY * 40, system="Be brief.", timeout=0.001), llamux.TimedOut, errno.ETIMEDOUT),
        ]:
            with self.subTest(error), self.assertRaises(error) as caught:
                call()
            self.assertEqual(caught.exception.errno, number)
            self.assertGreater(len(caught.exception.strerror), 20)

    def test_who_may_not_open_the_device_may_ask(self):
        script = (
            "import llamux\n"
            "print(len(llamux.ask('Why?', max_tokens=4)) > 0)\n"
            "try: llamux.Session()\n"
            "except llamux.Forbidden as error: print(error.errno, 'group' in error.strerror)\n"
        )
        run = lambda *words: subprocess.run(
            [sys.executable, *words], user=65534, group=65534, extra_groups=[], capture_output=True, text=True
        )
        ran = run("-c", script)
        self.assertEqual((ran.stdout, ran.stderr), (f"True\n{errno.EACCES} True\n", ""))
        self.assertTrue(run(EXAMPLE, "Why?").stdout.strip())


if __name__ == "__main__":
    unittest.main()
