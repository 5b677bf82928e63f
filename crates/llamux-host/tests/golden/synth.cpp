// SPDX-License-Identifier: GPL-2.0-only OR MIT
//
// Prints what llama.cpp computes for a made-up model, as a case of synth-*.json; tests/synth.rs says how it
// is built and used:
//
//     synth MODEL ARGUMENT...
//
// The arguments are those that made the model, and go into the case as they are.

#include "llama.h"

#include <cstdio>
#include <utility>
#include <vector>

static const int PROMPT = 70;
static const int STEPS = 12;
// Of the logits, those of every so many tokens are printed.
static const int STRIDE = 13;

static int vocabulary;

// The best token, and how far the second best is below it.
static std::pair<int, float> best(const float *logits)
{
	int first = 0;
	for (int i = 1; i < vocabulary; i++)
		if (logits[i] > logits[first])
			first = i;
	int second = first == 0;
	for (int i = 0; i < vocabulary; i++)
		if (i != first && logits[i] > logits[second])
			second = i;
	return { first, logits[first] - logits[second] };
}

static void print(const char *name, const float *logits)
{
	printf("\"%s\": [", name);
	for (int i = 0; i < vocabulary; i += STRIDE)
		printf("%s%.4f", i ? ", " : "", logits[i]);
	printf("]");
}

int main(int argc, char **argv)
{
	llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
	llama_backend_init();
	llama_model_params model_params = llama_model_default_params();
	model_params.n_gpu_layers = 0;
	llama_model *model = argc > 1 ? llama_model_load_from_file(argv[1], model_params) : nullptr;
	if (!model) {
		fprintf(stderr, "synth: cannot load the model\n");
		return 1;
	}
	vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
	llama_context_params params = llama_context_default_params();
	params.n_ctx = 256;
	params.n_threads = params.n_threads_batch = 2;
	params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
	llama_context *context = llama_init_from_model(model, params);

	std::vector<llama_token> tokens;
	for (int i = 0; i < PROMPT; i++)
		tokens.push_back((i * 37 + 11) % 250);

	printf("{\"arguments\": [");
	for (int i = 2; i < argc; i++)
		printf("%s\"%s\"", i > 2 ? ", " : "", argv[i]);
	printf("], ");
	std::vector<std::pair<int, float>> path;
	for (int step = 0; step <= STEPS; step++) {
		if (llama_decode(context, llama_batch_get_one(tokens.data(), tokens.size()))) {
			fprintf(stderr, "synth: cannot decode\n");
			return 1;
		}
		const float *logits = llama_get_logits_ith(context, -1);
		if (step == 0)
			print("first", logits);
		if (step == STEPS)
			printf(", "), print("last", logits);
		path.push_back(best(logits));
		tokens = { path.back().first };
	}
	printf(", \"greedy\": [");
	for (size_t i = 0; i < path.size(); i++)
		printf("%s[%d, %.3f]", i ? ", " : "", path[i].first, path[i].second);
	printf("]}");
}
