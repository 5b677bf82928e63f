#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Asks the kernel's model, and prints the answer as it comes."""

import sys

import llamux


def main() -> int:
    if len(sys.argv) != 2:
        print(f"usage: {sys.argv[0]} QUESTION", file=sys.stderr)
        return 2
    try:
        with llamux.Session() as session:
            answer = session.ask(sys.argv[1], max_tokens=200, temperature=0)
            for part in answer:
                print(part, end="", flush=True)
            print()
            print(f"{answer.tokens} tokens: {answer.stop_reason}", file=sys.stderr)
    except llamux.Forbidden:
        # Where /dev/llama may not be opened, the answer comes in one piece.
        print(llamux.ask(sys.argv[1], max_tokens=200, temperature=0))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except llamux.Error as error:
        sys.exit(error.strerror)
