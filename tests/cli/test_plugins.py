import json
import pathlib
import shutil

import framework

PLUGINS = pathlib.Path(framework.PROGRAM).parent.parent / "lib" / "apr" / "plugins"


def copy_plugin(t, name):
    folder = t.path("plugins")
    folder.mkdir(exist_ok=True)
    for ending in ["so", "json"]:
        shutil.copyfile(PLUGINS / f"libapr_{name}.{ending}", folder / f"libapr_{name}.{ending}")
    return folder


def test_list(t):
    report = t.json("plugins", "list")
    plugins = {p["name"]: p for p in report["plugins"]}
    for name in ["arch_llama", "arch_qwen2", "importer_safetensors", "exporter_safetensors", "quantizer_block"]:
        t.check(name in plugins, f"{name} is not listed")
        t.equal(plugins[name]["refusal"], None, name)
    t.contains(t.ok("plugins", "list").out, "quantizer_block", "scheme q4_0")


def test_info(t):
    report = t.json("plugins", "info", "quantizer_block")
    t.check({"kind": "scheme", "id": "q4_0"}.items() <= max(report["provides"], key=lambda p: p["id"] == "q4_0").items(),
            "q4_0 is not provided")
    t.contains(t.ok("plugins", "info", "quantizer_block").out, "Apache-2.0", "can be loaded")


def test_info_of_an_unknown_plugin(t):
    t.fails(3, "plugins", "info", "quantizer_blok", hint="did you mean 'quantizer_block'?")


def test_verify_all_and_one(t):
    t.equal(t.json("plugins", "verify")["passed"], True)
    t.equal(len(t.json("plugins", "verify", "arch_qwen2")["plugins"]), 1)


def test_verify_notices_a_changed_library(t):
    folder = copy_plugin(t, "quantizer_block")
    library = folder / "libapr_quantizer_block.so"
    library.write_bytes(library.read_bytes() + b"\0")
    report = t.json("plugins", "verify", "quantizer_block", "--plugin-path", folder, code=5)
    t.equal(report["plugins"][0]["status"], "fail")


def test_own_folder_comes_first(t):
    folder = copy_plugin(t, "quantizer_block")
    report = t.json("plugins", "info", "quantizer_block", "--plugin-path", folder)
    t.equal(str(pathlib.Path(report["library"]).parent), str(folder))


def test_environment_names_folders_too(t):
    folder = copy_plugin(t, "quantizer_block")
    report = t.json("plugins", "info", "quantizer_block", env={"APR_PLUGIN_PATH": f"/nowhere:{folder}"})
    t.equal(str(pathlib.Path(report["library"]).parent), str(folder))


def test_another_api_number_is_refused_with_what_to_do(t):
    folder = copy_plugin(t, "quantizer_block")
    manifest = folder / "libapr_quantizer_block.json"
    content = json.loads(manifest.read_text())
    content["api"] = 999
    manifest.write_text(json.dumps(content))
    t.contains(t.ok("plugins", "list", "--plugin-path", folder).out, "refused", "999")


def test_broken_manifest_does_not_hide_the_others(t):
    folder = copy_plugin(t, "arch_qwen2")
    (folder / "libapr_arch_qwen2.json").write_text("{")
    names = {p["name"]: p["refusal"] for p in t.json("plugins", "list", "--plugin-path", folder)["plugins"]}
    t.check("quantizer_block" in names and names["quantizer_block"] is None, str(names))


def test_a_folder_that_was_asked_for_and_is_refused_is_told(t):
    folder = copy_plugin(t, "quantizer_block")
    folder.chmod(0o777)
    asked = ["inspect", t.tiny(), "--plugin-path", folder]
    t.contains(t.ok(*asked).err, "apr: warning: plugin quantizer_block is refused: anyone on this machine may write")
    t.equal(t.ok(*asked, "--quiet").err, "")
    t.equal(t.ok("plugins", "list", "--plugin-path", folder).err, "", "the list itself says so")
    folder.chmod(0o755)
    t.equal(t.ok(*asked).err, "")


def test_the_current_folder_is_never_searched(t):
    folder = copy_plugin(t, "quantizer_block")
    t.check(str(folder) not in t.json("plugins", "list")["search_path"], "the current folder is searched")


framework.main(globals())
