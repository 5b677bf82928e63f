# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Asks a llamuxd what OpenAI's own client can ask; each test is a line of output."""

import argparse
import base64
import json
import math
import os
import struct
import sys
import threading
import time
import traceback

import httpx2
import openai

arguments = argparse.ArgumentParser()
arguments.add_argument("--url", default="http://localhost/v1")
arguments.add_argument("--unix")
arguments.add_argument("--key", default="none")
arguments.add_argument("--model", default="default")
arguments.add_argument("--only", nargs="*", default=[""], help="tests whose name contains one of these")
arguments.add_argument("--counters", help="the address of the server that computes, if it is another one")
arguments.add_argument("--user", type=int, help="asks as this user")
arguments.add_argument("--limited", action="store_true", help="expects that the user may have few tokens")
args = arguments.parse_args()
if args.user is not None:
    os.setgid(args.user)
    os.setuid(args.user)


def transport():
    return httpx2.HTTPTransport(uds=args.unix) if args.unix else httpx2.HTTPTransport()


def connect(**more):
    http = openai.DefaultHttpxClient(transport=transport(), timeout=300)
    return openai.OpenAI(base_url=args.url, http_client=http, max_retries=0, **{"api_key": args.key, **more})


client = connect()
plain = httpx2.Client(transport=transport(), timeout=60, headers={"Authorization": f"Bearer {args.key}"})
tests = []


def test(function):
    tests.append(function)
    return function


def user(text):
    return [{"role": "user", "content": text}]


def chat(text="Name a colour.", **more):
    messages = text if isinstance(text, list) else user(text)
    return client.chat.completions.create(**{"model": args.model, "messages": messages, "max_tokens": 12, **more})


def refused(status, param=None, code=None, **more):
    """The error with which such a request is refused."""
    try:
        chat(**more)
    except openai.APIStatusError as error:
        assert error.status_code == status, error
        assert param is None or error.param == param, error.body
        assert code is None or error.code == code, error.body
        assert error.body["message"], error.body
        return error
    raise AssertionError(f"not refused: {more}")


@test
def models_are_listed():
    ids = [model.id for model in client.models.list()]
    assert ids, "no model"
    assert client.models.retrieve(ids[0]).id == ids[0]
    try:
        client.models.retrieve("no-such-model")
        raise AssertionError("found")
    except openai.NotFoundError as error:
        assert error.code == "model_not_found", error.body


@test
def an_answer_has_text_and_usage():
    answer = chat(temperature=0)
    choice = answer.choices[0]
    assert choice.message.role == "assistant" and choice.message.content, answer
    assert choice.finish_reason in ("stop", "length"), answer
    usage = answer.usage
    assert usage.prompt_tokens > 0 and 0 < usage.completion_tokens <= 12, usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, usage
    assert 0 <= usage.prompt_tokens_details.cached_tokens <= usage.prompt_tokens, usage
    # The same again has its prompt in the cache.
    again = chat(temperature=0)
    assert again.choices[0].message.content == choice.message.content
    assert again.usage.prompt_tokens_details.cached_tokens > 0, again.usage


@test
def a_streamed_answer_is_the_same():
    whole = chat(temperature=0).choices[0]
    parts, usage, finish = [], None, None
    for chunk in chat(temperature=0, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            parts.append(choice.delta.content or "")
            finish = choice.finish_reason or finish
    assert "".join(parts) == whole.message.content, parts
    assert finish == whole.finish_reason and usage.completion_tokens > 0, (finish, usage)


@test
def a_seed_gives_the_same_answer_again():
    ask = lambda seed: chat("Tell me a story.", temperature=1.5, seed=seed, max_tokens=16).choices[0].message.content
    assert ask(7) == ask(7)
    assert len({ask(seed) for seed in (1, 2, 3)}) > 1
    assert ask(0) == ask(0)


@test
def a_stop_ends_the_answer_and_is_no_part_of_it():
    whole = chat("Count from 1 to 20.", temperature=0, max_tokens=40).choices[0].message.content
    stop = whole[len(whole) // 2 :][:3]
    answer = chat("Count from 1 to 20.", temperature=0, max_tokens=40, stop=[stop]).choices[0]
    assert answer.message.content == whole[: whole.index(stop)], (whole, stop, answer)
    assert answer.finish_reason == "stop", answer


@test
def several_answers_at_once():
    answer = chat("Tell me a story.", n=3, seed=5, temperature=1.5)
    assert [choice.index for choice in answer.choices] == [0, 1, 2], answer
    assert len({choice.message.content for choice in answer.choices}) > 1, answer
    streamed = {}
    for chunk in chat("Tell me a story.", n=2, seed=5, temperature=1.5, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] = streamed.get(choice.index, "") + (choice.delta.content or "")
    assert streamed == {i: answer.choices[i].message.content for i in (0, 1)}, (streamed, answer)


@test
def tokens_have_probabilities():
    answer = chat(temperature=0, logprobs=True).choices[0]
    tokens = answer.logprobs.content
    assert "".join(token.token for token in tokens) == answer.message.content, answer
    assert all(token.logprob <= 0 and bytes(token.bytes).decode() == token.token for token in tokens), tokens
    streamed = [
        token
        for chunk in chat(temperature=0, logprobs=True, stream=True)
        for choice in chunk.choices
        if choice.logprobs
        for token in choice.logprobs.content
    ]
    assert [token.logprob for token in streamed] == [token.logprob for token in tokens], streamed
    refused(400, "top_logprobs", logprobs=True, top_logprobs=3)


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 18, "maximum": 99},
        "kind": {"enum": ["cat", "dog"]},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 6}, "minItems": 1, "maxItems": 2},
    },
    "required": ["name", "age", "kind", "tags"],
    "additionalProperties": False,
}


@test
def json_keeps_to_its_schema():
    for temperature in (0, 1.5):
        answer = chat(
            "Describe a pet.",
            temperature=temperature,
            seed=3,
            max_tokens=150,
            response_format={"type": "json_schema", "json_schema": {"name": "pet", "schema": SCHEMA, "strict": True}},
        ).choices[0]
        assert answer.finish_reason == "stop", answer
        pet = json.loads(answer.message.content)
        assert list(pet) == ["name", "age", "kind", "tags"], pet
        assert 18 <= pet["age"] <= 99 and pet["kind"] in ("cat", "dog") and 1 <= len(pet["tags"]) <= 2, pet


@test
def a_class_of_pydantic_is_parsed():
    from pydantic import BaseModel
    from typing import Literal, Optional

    class Size(BaseModel):
        centimetres: int
        sure: bool

    class Pet(BaseModel):
        kind: Literal["cat", "dog"]
        size: Size
        other: Optional[Size]

    answer = client.chat.completions.parse(
        model=args.model, messages=user("Describe a pet."), response_format=Pet, max_tokens=120, temperature=0
    )
    pet = answer.choices[0].message.parsed
    assert isinstance(pet, Pet) and isinstance(pet.size.centimetres, int), answer


@test
def an_object_is_json():
    answer = chat("Give me JSON.", temperature=0, max_tokens=200, response_format={"type": "json_object"}).choices[0]
    text = answer.message.content
    assert text.startswith("{"), text
    if answer.finish_reason == "stop":
        assert isinstance(json.loads(text), dict), text


@test
def a_schema_that_is_not_kept_to_is_refused():
    schema = {"type": "object", "properties": {"a": {"type": "string", "contentEncoding": "x"}}}
    error = refused(
        400,
        code="unsupported_schema",
        response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}},
    )
    assert "contentEncoding" in str(error) and "/properties/a" in str(error), error


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Tells the weather in a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "maxLength": 20}, "unit": {"enum": ["C", "F"]}},
                "required": ["city", "unit"],
            },
        },
    },
    {"type": "function", "function": {"name": "get_time"}},
]


def is_call(call):
    arguments = json.loads(call.function.arguments)
    if call.function.name == "get_weather":
        assert set(arguments) == {"city", "unit"} and arguments["unit"] in "CF", arguments
    else:
        assert call.function.name == "get_time" and isinstance(arguments, dict), call
    assert call.id.startswith("call_") and call.type == "function", call


@test
def a_call_that_is_wanted_comes():
    wanted = {"type": "function", "function": {"name": "get_weather"}}
    more = {"tools": TOOLS, "temperature": 0, "max_tokens": 100}
    answer = chat("What is the weather in Paris?", tool_choice=wanted, **more).choices[0]
    assert answer.finish_reason == "tool_calls" and answer.message.content is None, answer
    (call,) = answer.message.tool_calls
    assert call.function.name == "get_weather"
    is_call(call)
    # As it comes.
    name, text, ids = "", "", set()
    for chunk in chat("What is the weather in Paris?", tool_choice=wanted, stream=True, **more):
        for choice in chunk.choices:
            for delta in choice.delta.tool_calls or []:
                assert delta.index == 0
                ids |= {delta.id} - {None}
                name += delta.function.name or ""
                text += delta.function.arguments or ""
    assert (name, text) == ("get_weather", call.function.arguments), (name, text)
    assert len(ids) == 1


@test
def a_choice_of_calls_is_kept_to():
    required = chat(
        "What is the weather in Paris?",
        tools=TOOLS,
        tool_choice="required",
        parallel_tool_calls=False,
        temperature=0,
        max_tokens=120,
    ).choices[0]
    (call,) = required.message.tool_calls
    is_call(call)
    none = chat(tools=TOOLS, tool_choice="none", temperature=0).choices[0]
    assert none.message.content and not none.message.tool_calls, none
    auto = chat(tools=TOOLS, temperature=0, max_tokens=60).choices[0]
    assert auto.message.content or auto.message.tool_calls, auto
    refused(400, "tool_choice", tools=TOOLS, tool_choice={"type": "function", "function": {"name": "other"}})


@test
def what_a_function_returned_is_taken():
    call = {"id": "call_1", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
    messages = user("What time is it?") + [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "It is 12:34."},
    ]
    answer = chat(messages, tools=TOOLS, temperature=0, max_tokens=30).choices[0]
    assert answer.message.content or answer.message.tool_calls, answer


@test
def a_long_conversation_is_taken():
    messages = [{"role": "system", "content": "Be brief."}]
    for number in range(40):
        messages += user(f"What is {number} and 1?") + [{"role": "assistant", "content": str(number + 1)}]
    messages += user("What is 1 and 2?")
    answer = chat(messages, temperature=0)
    assert answer.usage.prompt_tokens > 600 and answer.choices[0].message.content, answer


@test
def a_text_is_continued():
    more = {"model": args.model, "prompt": "The capital of France is", "max_tokens": 8, "temperature": 0}
    whole = client.completions.create(**more, logprobs=0)
    choice = whole.choices[0]
    assert "Paris" in choice.text, whole
    assert "".join(choice.logprobs.tokens) == choice.text, whole
    assert choice.logprobs.text_offset[0] == 0 and choice.logprobs.token_logprobs[0] <= 0, whole
    streamed = "".join(chunk.choices[0].text for chunk in client.completions.create(**more, stream=True) if chunk.choices)
    assert streamed == choice.text, streamed
    echoed = client.completions.create(**more, echo=True).choices[0].text
    assert echoed == more["prompt"] + choice.text, echoed


@test
def texts_have_vectors():
    texts = ["The cat sleeps on the sofa.", "A kitten naps on the couch.", "Stock markets fell sharply today."]
    answer = client.embeddings.create(model=args.model, input=texts, encoding_format="float")
    cat, kitten, market = (item.embedding for item in answer.data)
    product = lambda a, b: sum(x * y for x, y in zip(a, b))
    assert abs(math.sqrt(product(cat, cat)) - 1) < 1e-3
    assert product(cat, kitten) > product(cat, market), (product(cat, kitten), product(cat, market))
    assert answer.usage.prompt_tokens > 10 and [item.index for item in answer.data] == [0, 1, 2]
    # The client's own way is base64, which it takes apart by itself.
    (same,) = client.embeddings.create(model=args.model, input=texts[0]).data
    assert max(abs(x - y) for x, y in zip(cat, same.embedding)) < 1e-5
    raw = plain.post(f"{args.url}/embeddings", json={"model": args.model, "input": texts[0], "encoding_format": "base64"})
    data = base64.b64decode(raw.json()["data"][0]["embedding"])
    assert len(struct.unpack(f"<{len(data) // 4}f", data)) == len(cat)
    client.embeddings.create(model=args.model, input="a", dimensions=len(cat))
    for more in ({"input": ""}, {"input": []}, {"input": [1, 2]}, {"input": "a", "dimensions": 7}):
        try:
            client.embeddings.create(model=args.model, **more)
            raise AssertionError(more)
        except openai.BadRequestError:
            pass


@test
def what_cannot_be_is_refused():
    refused(404, "model", "model_not_found", model="gpt-4o")
    refused(400, "temperature", temperature=11)
    refused(400, "max_tokens", max_tokens=0)
    refused(400, "n", n=1000)
    refused(400, "frequency_penalty", frequency_penalty=1)
    refused(400, "logit_bias", logit_bias={"1": 5})
    refused(400, "messages", text=[])
    refused(400, "messages[0].content", text=user(""))
    refused(400, "messages[0].role", text=[{"role": "king", "content": "Obey."}])
    image = [{"type": "image_url", "image_url": {"url": "data:,"}}]
    refused(400, "messages[0].content[0].type", text=[{"role": "user", "content": image}])
    refused(400, "functions", extra_body={"functions": [{"name": "f"}]})
    refused(400, code="context_length_exceeded", text=user("word " * 30000))
    refused(413, text=user("x" * (5 << 20)))


@test
def what_is_no_request_is_refused():
    post = lambda **more: plain.post(f"{args.url}/chat/completions", **more)
    for status, answer in [
        (400, post(json={"model": args.model})),
        (400, post(json={"model": args.model, "messages": "Hello."})),
        (400, post(content="{", headers={"Content-Type": "application/json"})),
        (415, post(content="{}", headers={"Content-Type": "text/plain"})),
        (405, plain.get(f"{args.url}/chat/completions")),
        (404, plain.get(f"{args.url}/nothing")),
    ]:
        assert answer.status_code == status, answer
        assert answer.json()["error"]["message"], answer.text


@test
def a_grammar_is_kept_to():
    answer = chat("Is water wet?", temperature=0, extra_body={"grammar": 'root ::= "yes" | "no"'})
    assert answer.choices[0].message.content in ("yes", "no"), answer
    refused(400, "grammar", extra_body={"grammar": "root ::= answer"})


def number(name):
    text = plain.get((args.counters or args.url.removesuffix("/v1")) + "/metrics").text
    values = [line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith(name + " ")]
    return float(values[0]) if values else 0


@test
def counters_are_there():
    text = plain.get(args.url.removesuffix("/v1") + "/metrics").text
    kernel = ("llamuxd_tokens_total", "llamux_kernel_requests_served_total")
    for name in ("llamuxd_requests_total", *(("llamuxd_upstream_requests_total",) if args.counters else kernel)):
        assert name in text, name
    assert text.endswith("# EOF\n")
    health = plain.get(args.url.removesuffix("/v1") + "/health")
    assert health.status_code == 200 and health.json()["status"] == "ok", health.text


@test
def who_goes_away_ends_the_answer():
    before = number("llamuxd_cancelled_total")
    # No token is more than a letter and a new line, so that it takes a while.
    long = {"temperature": 0, "max_tokens": 1500, "extra_body": {"grammar": 'root ::= ("a" "\\n"){1500}'}}
    stream = chat("Write a long story.", stream=True, **long)
    next(iter(stream))
    stream.close()
    wait_for(lambda: number("llamuxd_cancelled_total") > before and number("llamuxd_in_flight") <= 1)
    # Without a stream there is nothing to read yet when the client goes.
    impatient = plain.build_request(
        "POST",
        f"{args.url}/chat/completions",
        json={"model": args.model, "messages": user("Write."), "max_tokens": 1500, "grammar": 'root ::= ("a" "\\n"){1500}'},
        timeout=0.3,
    )
    try:
        plain.send(impatient)
        raise AssertionError("that was quick")
    except httpx2.TimeoutException:
        pass
    start = time.monotonic()
    wait_for(lambda: number("llamuxd_in_flight") <= 1)
    # Nobody waits for the answers that are not wanted any more.
    chat(max_tokens=1)
    assert time.monotonic() - start < 20, "it waited"


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.05)


@test
def many_ask_at_once():
    answers = []
    ask = lambda: answers.append(chat("Name a colour.", temperature=0).choices[0].message.content)
    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 6 and len(set(answers)) == 1, answers


def too_much_is_refused():
    for _ in range(3):
        try:
            chat(max_tokens=8)
        except openai.RateLimitError as error:
            assert int(error.response.headers["retry-after"]) > 0, error.response.headers
            return
    raise AssertionError("as much as one likes")


if args.limited:
    tests = [too_much_is_refused]
failed = 0
for function in tests:
    if not any(word in function.__name__ for word in args.only):
        continue
    start = time.monotonic()
    try:
        function()
        print(f"ok {function.__name__} {time.monotonic() - start:.1f} s", flush=True)
    except Exception as error:
        failed += 1
        place = traceback.extract_tb(error.__traceback__)[-1]
        said = repr(error)[:600].replace("\n", " ")
        print(f"FAILED {function.__name__}: line {place.lineno}: {said}", flush=True)
sys.exit(1 if failed else 0)
