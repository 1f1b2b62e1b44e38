"""The folder in which the examples of the help pages and of the documents work: every file that they name.

Models come from the bundled one or are made on the spot: encoders too small to know anything, but whole.
"""
import json
import math
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import wave

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'cli'))
import checkpoints  # noqa: E402


def layer_norm(name, size):
    return {f'{name}.weight': ([size], [1.0] * size), f'{name}.bias': ([size], [0.0] * size)}


class Tensors(dict):
    """name -> (shape, floats): small random numbers unless something else is asked for."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def matrix(self, name, *shape):
        self[name] = (list(shape), [self.random.gauss(0, 0.05) for _ in range(math.prod(shape))])

    def linear(self, name, rows, columns, bias=True):
        self.matrix(f'{name}.weight', rows, columns)
        if bias:
            self[f'{name}.bias'] = ([rows], [0.0] * rows)


def write_folder(folder, tensors, **texts):
    folder.mkdir()
    checkpoints.write_safetensors(folder / 'model.safetensors', tensors)
    for name, content in texts.items():
        (folder / f'{name}.json').write_text(json.dumps(content))


def special(number, name):
    return {'id': number, 'content': name, 'single_word': False, 'lstrip': False, 'rstrip': False,
            'normalized': False, 'special': True}


def write_bert(folder):
    """An encoder of texts that knows letters."""
    hidden, feed, places = 32, 64, 128
    marks = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    letters = 'abcdefghijklmnopqrstuvwxyz0123456789'
    words = marks + list('.,?!\'-') + list(letters) + ['##' + c for c in letters]
    t = Tensors(1)
    t.matrix('embeddings.word_embeddings.weight', len(words), hidden)
    t.matrix('embeddings.position_embeddings.weight', places, hidden)
    t.matrix('embeddings.token_type_embeddings.weight', 2, hidden)
    t.update(layer_norm('embeddings.LayerNorm', hidden))
    layer = 'encoder.layer.0.'
    for part in ['query', 'key', 'value']:
        t.linear(f'{layer}attention.self.{part}', hidden, hidden)
    t.linear(f'{layer}attention.output.dense', hidden, hidden)
    t.update(layer_norm(f'{layer}attention.output.LayerNorm', hidden))
    t.linear(f'{layer}intermediate.dense', feed, hidden)
    t.linear(f'{layer}output.dense', hidden, feed)
    t.update(layer_norm(f'{layer}output.LayerNorm', hidden))
    t.linear('pooler.dense', hidden, hidden)
    sequence = [{'Sequence': {'id': 'A', 'type_id': 0}}, {'SpecialToken': {'id': '[SEP]', 'type_id': 0}}]
    start = [{'SpecialToken': {'id': '[CLS]', 'type_id': 0}}]
    write_folder(
        folder, t,
        config={'architectures': ['BertModel'], 'model_type': 'bert', 'hidden_act': 'gelu', 'hidden_size': hidden,
                'intermediate_size': feed, 'layer_norm_eps': 1e-12, 'max_position_embeddings': places,
                'num_attention_heads': 2, 'num_hidden_layers': 1, 'pad_token_id': 0, 'type_vocab_size': 2,
                'vocab_size': len(words)},
        tokenizer={'version': '1.0', 'truncation': None, 'padding': None,
                   'added_tokens': [special(i, name) for i, name in enumerate(marks)],
                   'normalizer': {'type': 'BertNormalizer', 'clean_text': True, 'handle_chinese_chars': True,
                                  'strip_accents': None, 'lowercase': True},
                   'pre_tokenizer': {'type': 'BertPreTokenizer'},
                   'post_processor': {
                       'type': 'TemplateProcessing', 'single': start + sequence,
                       'pair': start + sequence + [{'Sequence': {'id': 'B', 'type_id': 1}},
                                                   {'SpecialToken': {'id': '[SEP]', 'type_id': 1}}],
                       'special_tokens': {name: {'id': name, 'ids': [i], 'tokens': [name]}
                                          for i, name in [(2, '[CLS]'), (3, '[SEP]')]}},
                   'decoder': {'type': 'WordPiece', 'prefix': '##', 'cleanup': True},
                   'model': {'type': 'WordPiece', 'unk_token': '[UNK]', 'continuing_subword_prefix': '##',
                             'max_input_chars_per_word': 100, 'vocab': {w: i for i, w in enumerate(words)}}})


def write_whisper(folder):
    """A model of speech that hears one letter, "h", in everything: only the position decides what it writes."""
    hidden, feed, letters = 16, 32, 256
    names = ['<|endoftext|>', '<|startoftranscript|>', '<|en|>', '<|de|>', '<|translate|>', '<|transcribe|>',
             '<|startoflm|>', '<|startofprev|>', '<|nospeech|>', '<|notimestamps|>']
    ids = {name: letters + i for i, name in enumerate(names)}
    times = [f'<|{i / 50:.2f}|>' for i in range(1501)]
    vocab = letters + len(names) + len(times)
    t = Tensors(2)
    t.matrix('model.encoder.conv1.weight', hidden, 80, 3)
    t.matrix('model.encoder.conv2.weight', hidden, hidden, 3)
    for name in ['conv1', 'conv2']:
        t[f'model.encoder.{name}.bias'] = ([hidden], [0.0] * hidden)
    t.matrix('model.encoder.embed_positions.weight', 1500, hidden)
    for side in ['encoder', 'decoder']:
        layer = f'model.{side}.layers.0.'
        attentions = ['self_attn'] + (['encoder_attn'] if side == 'decoder' else [])
        for attention in attentions:
            for part in ['q_proj', 'k_proj', 'v_proj', 'out_proj']:
                t.linear(f'{layer}{attention}.{part}', hidden, hidden, bias=part != 'k_proj')
            t.update(layer_norm(f'{layer}{attention}_layer_norm', hidden))
        t.linear(f'{layer}fc1', feed, hidden)
        t.linear(f'{layer}fc2', hidden, feed)
        t.update(layer_norm(f'{layer}final_layer_norm', hidden))
        t.update(layer_norm(f'model.{side}.layer_norm', hidden))
    # Positions are far longer than anything that is added to them, so that the tied head sees little else: after
    # four tokens (start, language, task, and no timestamps or the first of them) comes the letter, then the end.
    rows = [[t.random.gauss(0, 0.05) for _ in range(hidden)] for _ in range(vocab)]
    rows[ord('h')][0] = rows[ids['<|endoftext|>']][1] = 20.0
    rows[ids['<|en|>']][1] = 5.0
    t['model.decoder.embed_tokens.weight'] = ([vocab, hidden], [x for row in rows for x in row])
    places = [[100.0 * (i == (place != 3)) for i in range(hidden)] for place in range(448)]
    t['model.decoder.embed_positions.weight'] = ([448, hidden], [x for row in places for x in row])
    tokenizer = checkpoints.tokenizer_json()
    order = sorted(tokenizer['model']['vocab'], key=tokenizer['model']['vocab'].get)
    assert order[ord('h')] == 'h' and len(order) == letters
    tokenizer['added_tokens'] = [special(number, name) for name, number in ids.items()]
    tokenizer['added_tokens'] += [dict(special(letters + len(names) + i, name), special=False)
                                  for i, name in enumerate(times)]
    tokenizer['normalizer'] = None
    write_folder(
        folder, t,
        config={'architectures': ['WhisperForConditionalGeneration'], 'model_type': 'whisper',
                'activation_function': 'gelu', 'd_model': hidden, 'encoder_layers': 1, 'decoder_layers': 1,
                'encoder_attention_heads': 2, 'decoder_attention_heads': 2, 'encoder_ffn_dim': feed,
                'decoder_ffn_dim': feed, 'is_encoder_decoder': True, 'max_source_positions': 1500,
                'max_target_positions': 448, 'num_mel_bins': 80, 'scale_embedding': False, 'vocab_size': vocab,
                'decoder_start_token_id': ids['<|startoftranscript|>'], 'eos_token_id': ids['<|endoftext|>'],
                'bos_token_id': ids['<|endoftext|>'], 'pad_token_id': ids['<|endoftext|>']},
        generation_config={'is_multilingual': True, 'lang_to_id': {name: ids[name] for name in ['<|en|>', '<|de|>']},
                           'task_to_id': {name: ids[f'<|{name}|>'] for name in ['transcribe', 'translate']},
                           'begin_suppress_tokens': [32, ids['<|endoftext|>']], 'suppress_tokens': [],
                           'decoder_start_token_id': ids['<|startoftranscript|>'],
                           'eos_token_id': ids['<|endoftext|>'], 'max_initial_timestamp_index': 50,
                           'no_timestamps_token_id': ids['<|notimestamps|>'],
                           'prev_sot_token_id': ids['<|startofprev|>'], 'max_length': 448},
        preprocessor_config={'chunk_length': 30, 'feature_extractor_type': 'WhisperFeatureExtractor',
                             'feature_size': 80, 'hop_length': 160, 'n_fft': 400, 'n_samples': 480000,
                             'nb_max_frames': 3000, 'padding_side': 'right', 'padding_value': 0.0,
                             'return_attention_mask': False, 'sampling_rate': 16000},
        tokenizer=tokenizer)


RATE = 16000


def tone(seconds=1):
    return [round(8000 * math.sin(i * 440 * 2 * math.pi / RATE)) for i in range(int(seconds * RATE))]


def write_wav(path, samples):
    with wave.open(str(path), 'wb') as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(struct.pack(f'<{len(samples)}h', *samples))


def crc(data, bits, polynomial):
    value, top = 0, 1 << (bits - 1)
    for byte in data:
        value ^= byte << (bits - 8)
        for _ in range(8):
            value = ((value << 1) ^ (polynomial if value & top else 0)) & ((1 << bits) - 1)
    return value


def write_flac(path, samples):
    """FLAC (RFC 9639) with every sample as it is: one channel, 16 bits, blocks of 256."""
    block = 256
    samples = samples[:len(samples) // block * block]
    packed = (RATE << 44) | (0 << 41) | (15 << 36) | len(samples)
    info = struct.pack('>HH', block, block) + bytes(6) + packed.to_bytes(8, 'big') + bytes(16)
    data = b'fLaC' + bytes([0x80]) + len(info).to_bytes(3, 'big') + info
    for number in range(len(samples) // block):
        head = bytes([0xFF, 0xF8, 0x85, 0x08])  # 256 samples of 16 kHz, one channel of 16 bits
        head += chr(number).encode('utf-8')
        head += bytes([crc(head, 8, 0x07)])
        frame = head + bytes([0x02]) + struct.pack(f'>{block}h', *samples[number * block:(number + 1) * block])
        data += frame + crc(frame, 16, 0x8005).to_bytes(2, 'big')
    path.write_bytes(data)


def write_mp3(path):
    """A second of silence: 128 kbit/s, 44.1 kHz, one channel, frames without main data."""
    path.write_bytes((bytes([0xFF, 0xFB, 0x90, 0xC4]) + bytes(413)) * 39)


def write_stand_in_for_ffmpeg(folder):
    """Does the one thing that the examples ask of it; a film would be large."""
    folder.mkdir()
    program = folder / 'ffmpeg'
    program.write_text('#!/bin/sh\n[ "$*" = "-i film.mkv -f wav -" ] && [ -f film.mkv ] && exec cat talk.wav\n'
                       'echo "unexpected: ffmpeg $*" >&2\nexit 1\n')
    program.chmod(0o755)


def make(folder, project, build):
    """Fills an empty folder; the programs are those of the build folder."""
    def apr(*words):
        done = subprocess.run([build / 'bin' / 'apr', *words], cwd=folder, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True, timeout=120, check=False)
        if done.returncode != 0:
            raise RuntimeError(f'apr {" ".join(map(str, words))}: exit code {done.returncode}\n{done.stderr}')

    for name in ['golden', 'pipelines']:  # copies: pipelines write beside themselves
        subprocess.run(['cp', '-r', project / name, folder / name], check=True)
    (folder / 'tests').mkdir()
    (folder / 'tests' / 'playbooks').symlink_to(project / 'tests' / 'playbooks')

    apr('import', 'golden/apr-tiny-chat', '-o', 'tiny.apr')
    for bits in ['4', '8']:
        apr('convert', 'tiny.apr', '--quantize', f'int{bits}', '-o', f'tiny-int{bits}.apr')
    checkpoint = folder / 'my-model'
    checkpoint.mkdir()
    for path in (project / 'golden' / 'apr-tiny-chat').iterdir():
        if path.is_file() and path.name != 'README.md':
            shutil.copyfile(path, checkpoint / path.name)
            if path.name != 'model.safetensors':
                shutil.copyfile(path, folder / path.name)
    (folder / 'model.safetensors').hardlink_to(checkpoint / 'model.safetensors')
    for name in ['trace-a', 'trace-b']:
        apr('trace', 'tiny.apr', '--prompt', 'Hello', '--export', name)
    apr('canary', 'create', 'tiny.apr', '-o', 'canary.json')
    (folder / 'lines.txt').write_text('A cat sleeps.\nA dog sleeps.\n\nTaxes are due.\n')
    wikitext = folder / 'datasets' / 'wikitext-2'
    wikitext.mkdir(parents=True)
    (wikitext / 'wiki.valid.raw').write_text(' = A title = \n\n A valley is a low place between hills . \n' * 4)
    (folder / 'questions.jsonl').write_text(''.join(
        json.dumps({'query': f'What is {a}+{b}?', 'choices': [str(a + b), 'Paris'], 'gold': 0}) + '\n'
        for a, b in [(2, 2), (1, 2)]))

    write_bert(folder / 'bert')
    apr('import', 'bert', '-o', 'bert.apr')
    (folder / 'all-MiniLM-L6-v2').symlink_to('bert')
    write_whisper(folder / 'whisper')
    apr('import', 'whisper', '-o', 'whisper.apr')
    write_wav(folder / 'talk.wav', tone())
    write_wav(folder / 'rede.wav', tone())
    write_flac(folder / 'talk.flac', tone())
    write_mp3(folder / 'talk.mp3')
    (folder / 'film.mkv').write_bytes(b'a film')
    write_stand_in_for_ffmpeg(folder / 'bin')

    plugins = folder / 'build' / 'plugins'
    plugins.mkdir(parents=True)
    for path in (build / 'lib' / 'apr' / 'plugins').glob('libapr_quantizer_block.*'):
        shutil.copyfile(path, plugins / path.name)


if __name__ == '__main__':
    target = pathlib.Path(sys.argv[1])
    target.mkdir()
    make(target.resolve(), pathlib.Path(sys.argv[2]).resolve(), pathlib.Path(sys.argv[3]).resolve())
