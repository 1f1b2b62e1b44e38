"""apr tokenize: ids, pieces, pairs with their types, tokenizers in either layout."""
import json

import checkpoints
import framework

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", "sat", "!", "cafe", "un", "##do"]


def bert_folder(t, name="bert"):
    folder = checkpoints.write_folder(t.path(name), tokenizer=False)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    return folder


def test_one_text(t):
    found = t.ok("tokenize", bert_folder(t), "The CATS, Café! undo", "--json").json()
    t.equal(found["tokenizer"], "WordPiece")
    t.equal(found["tokens"], ["[CLS]", "the", "cat", "##s", "[UNK]", "cafe", "!", "un", "##do", "[SEP]"])
    t.equal(found["ids"], [VOCABULARY.index(token) for token in found["tokens"]])
    t.equal(found["count"], len(found["ids"]))
    t.check("types" not in found, "types without a pair")


def test_two_texts_have_types(t):
    folder = bert_folder(t)
    found = t.ok("tokenize", folder, "the cat", "--pair", "sat!", "--json").json()
    t.equal(found["tokens"], ["[CLS]", "the", "cat", "[SEP]", "sat", "!", "[SEP]"])
    t.equal(found["types"], [0, 0, 0, 0, 1, 1, 1])
    t.equal(found["bytes"], 11)
    run = t.ok("tokenize", folder, "the", "--pair", "-", stdin="cat")
    t.contains(run.out, "type", ' 6     1  "cat"')
    found = t.ok("tokenize", folder, "the", "--pair", "cat", "--no-bos", "--json").json()
    t.equal((found["tokens"], found["types"]), (["the", "cat"], [0, 1]))
    t.fails(2, "tokenize", folder, "-", "--pair", "-", says=["standard input"])


def test_a_pair_of_a_tokenizer_without_a_template(t):
    found = t.ok("tokenize", framework.BUNDLED, "Hello", "--pair", " world", "--json").json()
    t.equal("".join(found["tokens"]), "Hello world")
    t.equal(found["types"][0], 0)
    t.equal(found["types"][-1], 1)


def test_special_tokens_only_where_asked(t):
    folder = bert_folder(t)
    t.check("[MASK]" not in t.ok("tokenize", folder, "[MASK]", "--json").json()["tokens"], "made from plain text")
    found = t.ok("tokenize", folder, "the [MASK]", "--parse-special", "--json").json()
    t.equal(found["tokens"], ["[CLS]", "the", "[MASK]", "[SEP]"])


def test_the_configuration_counts(t):
    folder = bert_folder(t)
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False, "strip_accents": True}))
    t.equal(t.ok("tokenize", folder, "The café", "--no-bos", "--json").json()["tokens"], ["[UNK]", "cafe"])
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": "no"}))
    t.fails(4, "tokenize", folder, "x", says=["bert: tokenizer_config.json", "do_lower_case"])


framework.main(globals())
