// SPDX-License-Identifier: GPL-2.0-only OR MIT
//
// Prints llama.cpp's embeddings of some texts as the JSON of *-embeddings.json, pooled by their mean and as
// long as 1:
//
//     embed MODEL TEXT...
//
// It is built as synth.cpp is. The texts have no character that JSON escapes.

#include "llama.h"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

int main(int argc, char **argv)
{
	llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
	llama_backend_init();
	llama_model_params model_params = llama_model_default_params();
	model_params.n_gpu_layers = 0;
	llama_model *model = argc > 1 ? llama_model_load_from_file(argv[1], model_params) : nullptr;
	if (!model) {
		fprintf(stderr, "embed: cannot load the model\n");
		return 1;
	}
	const llama_vocab *vocabulary = llama_model_get_vocab(model);
	llama_context_params params = llama_context_default_params();
	params.n_ctx = params.n_batch = params.n_ubatch = 512;
	params.n_threads = params.n_threads_batch = 2;
	params.embeddings = true;
	params.pooling_type = LLAMA_POOLING_TYPE_MEAN;
	llama_context *context = llama_init_from_model(model, params);

	for (int i = 2; i < argc; i++) {
		std::vector<llama_token> tokens(512);
		int count = llama_tokenize(vocabulary, argv[i], strlen(argv[i]), tokens.data(),
					   tokens.size(), true, false);
		llama_memory_clear(llama_get_memory(context), true);
		if (count <= 0 || llama_decode(context, llama_batch_get_one(tokens.data(), count))) {
			fprintf(stderr, "embed: cannot decode\n");
			return 1;
		}
		const float *vector = llama_get_embeddings_seq(context, 0);
		int columns = llama_model_n_embd(model);
		double squares = 0;
		for (int c = 0; c < columns; c++)
			squares += (double)vector[c] * vector[c];
		printf("%s{\"text\": \"%s\", \"vector\": [", i > 2 ? ",\n" : "[\n", argv[i]);
		for (int c = 0; c < columns; c++)
			printf("%s%.5f", c ? "," : "", vector[c] / std::sqrt(squares));
		printf("]}");
	}
	printf("\n]\n");
	return 0;
}
