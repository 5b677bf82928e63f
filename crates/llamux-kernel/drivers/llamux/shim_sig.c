// SPDX-License-Identifier: GPL-2.0-only
/*
 * SHA-256 and PKCS#7, for which there are no Rust abstractions. What is done
 * with their results is in sig.rs.
 */
#include <crypto/pkcs7.h>
#include <crypto/sha2.h>
#include <keys/asymmetric-type.h>
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/init.h>
#include <linux/kernel_read_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

/* The signer of a message is known to these alone. */
#include "../../crypto/asymmetric_keys/pkcs7_parser.h"

#include "shim.h"

#define MAX_SIGNATURE	SZ_64K

/*
 * Whether the keys are there that the kernel trusts, and those that it does not
 * any more: late initcalls load them, when a small model may be there already.
 */
static DECLARE_COMPLETION(keys_loaded);

static int __init note_keys(void)
{
	complete_all(&keys_loaded);
	return 0;
}
late_initcall_sync(note_keys);

void llamux_sha256_begin(void *ctx)
{
	BUILD_BUG_ON(sizeof(struct sha256_ctx) > LLAMUX_SHA256_CTX);
	sha256_init(ctx);
}

void llamux_sha256_add(void *ctx, const void *data, size_t len)
{
	sha256_update(ctx, data, len);
}

void llamux_sha256_end(void *ctx, u8 *digest)
{
	sha256_final(ctx, digest);
}

/*
 * Writes who signed into @signer: the common name in the identifier that the
 * key is found by, which is the serial number and the issuer of its certificate,
 * and the identifier's last bytes; these alone if it has no name, or is another.
 */
static void describe(const struct public_key_signature *sig, char *signer, size_t size)
{
	/* The DER of the attribute's type, 2.5.4.3. */
	static const u8 common_name[] = { 0x06, 0x03, 0x55, 0x04, 0x03 };
	const struct asymmetric_key_id *id = sig->auth_ids[0] ?: sig->auth_ids[1];
	const u8 *name = NULL;
	size_t len = 0, i, used = 0;

	if (!id) {
		strscpy(signer, "unknown", size);
		return;
	}
	for (i = 0; i + sizeof(common_name) + 2 <= id->len; i++) {
		const u8 *at = id->data + i;
		u8 this;

		if (memcmp(at, common_name, sizeof(common_name)))
			continue;
		/* A string's tag, its length in one byte, and the string. */
		at += sizeof(common_name) + 2;
		this = at[-1];
		if (this < 0x80 && this <= id->data + id->len - at) {
			name = at;
			len = this;
		}
	}
	if (name)
		used = scnprintf(signer, size, "%*pE ", (int)len, name);
	i = min_t(size_t, id->len, 8);
	scnprintf(signer + used, size - used, "%*phN", (int)i,
		  name ? id->data : id->data + id->len - i);
}

/*
 * Checks @data against the signature in @file, by the keys that the kernel
 * trusts: those that it was built with, and those that they vouch for. Says who
 * signed if it is good.
 */
int llamux_signature_check(const void *data, size_t len, struct file *file, char *signer,
			   size_t signer_size)
{
	struct pkcs7_message *message;
	void *buf = NULL;
	ssize_t size;
	int err;

	size = kernel_read_file(file, 0, &buf, MAX_SIGNATURE, NULL, READING_FIRMWARE);
	if (size < 0)
		return size;
	message = pkcs7_parse_message(buf, size);
	if (IS_ERR(message)) {
		vfree(buf);
		return PTR_ERR(message);
	}
	wait_for_completion(&keys_loaded);
	err = -EBADMSG;
	/* Of several signers it would not be said whose key is the trusted one. */
	if (message->signed_infos && !message->signed_infos->next)
		err = verify_pkcs7_message_sig(data, len, message, VERIFY_USE_SECONDARY_KEYRING,
					       VERIFYING_FIRMWARE_SIGNATURE, NULL, NULL);
	if (!err)
		describe(message->signed_infos->sig, signer, signer_size);
	pkcs7_free_message(message);
	/* The message has pointers into it. */
	vfree(buf);
	return err;
}
