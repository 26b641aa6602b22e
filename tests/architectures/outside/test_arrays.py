import base64
import io
import json
import pickle
import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from hitherto.architectures.outside.arrays import in_memory, read_npz, read_safetensors, read_torch, sniff

ORACLES = json.loads((Path(__file__).parents[2] / "oracles" / "formats_oracles.json").read_text())

REASONS = {
    "empty file": "empty",
    "seven bytes": "shorter than the 8 bytes",
    "header length beyond file": "header length 1000000 is larger than the file",
    "header length 2^63": "header length 9223372036854775808 is above the limit of 100 MB",
    "header not JSON": "header is not JSON",
    "header not UTF-8": "header is not UTF-8",
    "header is a list": "header is not an object",
    "pickle renamed": "pickle.*0x80",
    "zip renamed": "zip archive",
    "truncated data": "data are shorter than the last offset",
    "trailing bytes": "bytes after the last tensor",
    "overlap": "tensors overlap",
    "hole": "hole between tensors",
    "size mismatch": "shape and byte range of weight_hh_l0 disagree",
    "shape product overflow": "shape product of weight_hh_l0 .* overflows 64 bits",
    "negative dimension": "weight_hh_l0 has a negative dimension",
    "unknown dtype": "weight_hh_l0 has the unknown dtype 'Q99'",
    "begin after end": "begins after its end",
    "duplicate key": "duplicate tensor name or key 'a'",
    "nan weights": r"weight_ih_l0 holds NaN or infinite values \(1 of 2\)",
    "object array": "weight_hh_l0.npy is an object array.*unpickling",
    "shape larger than the member": "asks for 8796093022208 bytes .* the member holds 8",
}


def written(tmp_path, data, name):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def read_all(arrays):
    return {name: arrays.read(name) for name in arrays.shapes}


@pytest.mark.parametrize("case", ORACLES["hostile_safetensors"], ids=lambda c: c["name"])
def test_hostile_safetensors(case, tmp_path):
    path = written(tmp_path, base64.b64decode(case["data"]), "model.safetensors")
    if case["must_refuse"]:
        with pytest.raises(ValueError, match=REASONS[case["name"]]):
            read_all(read_safetensors(path))
    else:
        assert read_safetensors(path).shapes == {"weight_ih_l0": (2, 1), "weight_hh_l0": (2, 2)}


@pytest.mark.parametrize("case", ORACLES["hostile_npz"], ids=lambda c: c["name"])
def test_hostile_npz(case, tmp_path):
    path = written(tmp_path, base64.b64decode(case["data"]), "model.npz")
    with pytest.raises(ValueError, match=REASONS[case["name"]]):
        read_all(read_npz(path))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, jnp.bfloat16])
def test_safetensors_values(dtype, tmp_path):
    values = np.array([[1.5, -0.1], [3e-5, 7]]).astype(dtype)
    path = written(tmp_path, safetensors.numpy.save({"w": values}, {"made": "here"}), "a.safetensors")
    arrays = read_safetensors(path)
    wide = np.float64 if dtype is np.float64 else np.float32
    assert (arrays.dtypes["w"], arrays.metadata) == (np.dtype(dtype).name, {"made": "here"})
    assert arrays.read("w").dtype == wide
    np.testing.assert_array_equal(arrays.read("w"), values.astype(wide))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_values(save, tmp_path):
    big_endian = np.array([1.5, -2.0], ">f8")
    save(tmp_path / "a.npz", w=big_endian, fortran=np.asfortranarray(np.arange(6.0).reshape(2, 3)), number=3)
    arrays = read_npz(tmp_path / "a.npz")
    assert arrays.shapes == {"w": (2,), "fortran": (2, 3)}
    assert arrays.read("w").dtype == np.dtype("=f8")
    np.testing.assert_array_equal(arrays.read("w"), [1.5, -2.0])
    np.testing.assert_array_equal(arrays.read("fortran"), [[0, 1, 2], [3, 4, 5]])


def test_only_what_is_asked_for_is_read(tmp_path):
    data = safetensors.numpy.save({"bad": np.array([np.inf]), "good": np.ones(2)})
    arrays = read_safetensors(written(tmp_path, data, "a.safetensors"))
    np.testing.assert_array_equal(arrays.read("good"), [1, 1])
    with pytest.raises(ValueError, match=r"bad holds NaN or infinite values \(1 of 1\)"):
        arrays.read("bad")


def test_integers_are_no_weights():
    with pytest.raises(ValueError, match="w holds int8 values"):
        in_memory("here", {"w": np.ones((2, 2), np.int8)}).read("w")


def test_the_size_limit_holds_before_anything_is_read(tmp_path):
    path = written(tmp_path, safetensors.numpy.save({"w": np.ones(100)}), "a.safetensors")
    np.savez(tmp_path / "a.npz", w=np.ones(100))
    for reader, name in ((read_safetensors, path), (read_npz, tmp_path / "a.npz")):
        with pytest.raises(ValueError, match="more than the limit of 500"):
            reader(name, 500)


def test_every_cut_of_a_file_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", w=np.ones(3))
    whole = {
        ".safetensors": safetensors.numpy.save({"w": np.ones(3)}),
        ".npz": (tmp_path / "a.npz").read_bytes(),
    }
    for (suffix, data), reader in zip(whole.items(), (read_safetensors, read_npz), strict=True):
        for end in range(0, len(data) - 1, 7):
            with pytest.raises(ValueError, match="cut" + suffix):
                reader(written(tmp_path, data[:end], "cut" + suffix))


def zipped(members, compression=zipfile.ZIP_STORED):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return data.getvalue()


def npy(array):
    data = io.BytesIO()
    np.save(data, array)
    return data.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (zipped([("../w.npy", npy(np.ones(2)))]), r"../w.npy points outside"),
        (zipped([("/w.npy", npy(np.ones(2)))]), r"/w.npy points outside"),
        (zipped([("w.npy", npy(np.zeros(10**6)))], zipfile.ZIP_DEFLATED), "would grow"),
        (zipped([("w.npy", npy(np.zeros(2, [("a", "f4")])))]), "object array or a table"),
        (zipped([("w.npy", b"\x93NUMPY\x09\x00" + bytes(100))]), "w.npy cannot be read"),
        (zipped([("w.npy", npy(np.ones(2)) + b"more")]), "asks for 16 bytes"),
        (zipped([("readme.txt", b"hello")]), "no known model"),
    ],
)
def test_odd_archives(data, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_npz(written(tmp_path, data, "a.npz"))


def test_two_members_of_one_name(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = zipped([("w.npy", npy(np.ones(2))), ("w.npy", npy(np.zeros(2)))])
    with pytest.raises(ValueError, match="two members of one name"):
        read_npz(written(tmp_path, data, "a.npz"))


def test_an_encrypted_member(tmp_path):
    data = bytearray(zipped([("w.npy", npy(np.ones(2)))]))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(ValueError, match="encrypted"):
        read_npz(written(tmp_path, bytes(data), "a.npz"))


def test_kinds_are_told_by_content(tmp_path):
    header = {f"w{k}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for k in range(2)}
    text = json.dumps(header).encode()
    text += b" " * (128 - len(text))  # a header of 128 bytes makes the file begin with 0x80, as a pickle does
    assert sniff(written(tmp_path, (128).to_bytes(8, "little") + text, "weights")) == "safetensors"
    assert sniff(written(tmp_path, zipped([("w.npy", npy(np.ones(2)))]), "archive")) == "npz"
    assert sniff(written(tmp_path, zipped([("config.json", b"{}"), ("model.weights.h5", b"")]), "a.keras")) == "keras"
    assert sniff(written(tmp_path, b"\x89HDF\r\n\x1a\n" + bytes(20), "a.h5")) == "hdf5"
    assert sniff(written(tmp_path, b"\x08\x07\x12\x07pytorch", "a.onnx")) == "onnx"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.bin", pickle.dumps({"w": 1}), r"a.bin holds a pickle \(it starts with 0x80\).*safetensors"),
        ("a.onnx", b"\x89HDF\r\n\x1a\n" + bytes(20), "suffix says onnx, the first bytes say an HDF5 file"),
        ("a.h5", b"hello, this is text", "suffix says hdf5, the first bytes say something else"),
        ("a.keras", zipped([("w.npy", npy(np.ones(2)))]), "suffix says keras, the zip archive holds npz"),
        (
            "a.pt",
            zipped([("m/code/x.py", b""), ("m/data.pkl", b""), ("m/constants.pkl", b"")]),
            "TorchScript",
        ),
        ("a.npz", b"", r"a.npz is empty \(0 bytes\)"),
    ],
)
def test_sniff_refuses(name, data, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        sniff(written(tmp_path, data, name))


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(ValueError, match=r"there is no file .*absent.onnx"):
        sniff(tmp_path / "absent.onnx")
    with pytest.raises(ValueError, match=r"is a folder, not a model file"):
        sniff(tmp_path)


def test_torch_files(tmp_path):
    torch = pytest.importorskip("torch")
    lstm = torch.nn.LSTM(3, 2).to(torch.bfloat16)
    for key in (None, "state_dict", "model", "model_state_dict", "model_state", "speaker"):
        torch.save({key: lstm.state_dict(), "epoch": 3} if key else lstm.state_dict(), tmp_path / "a.pt")
        arrays = read_torch(tmp_path / "a.pt")
        assert arrays.shapes["weight_ih_l0"] == (8, 3)
        assert arrays.dtypes["weight_ih_l0"] == "bfloat16"
        expected = lstm.weight_ih_l0.detach().float().numpy()
        np.testing.assert_array_equal(arrays.read("weight_ih_l0"), expected)


def test_checkpoints_of_several_models_or_none_say_what_they_hold(tmp_path):
    torch = pytest.importorskip("torch")
    weights = torch.nn.Linear(2, 2).state_dict()
    torch.save({"critic": weights, "actor": weights, "step": 3}, tmp_path / "two.pt")
    with pytest.raises(ValueError, match="holds critic, actor, step, of which critic, actor hold tensors: save the"):
        read_torch(tmp_path / "two.pt")
    torch.save({"step": 3}, tmp_path / "none.pt")
    with pytest.raises(ValueError, match="holds step, of which none hold tensors"):
        read_torch(tmp_path / "none.pt")


def test_whole_modules_and_scripts_are_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(torch.nn.LSTM(3, 2), tmp_path / "whole.pt")
    with pytest.raises(ValueError, match=r"not a plain state dict.*never loaded: save the weights with"):
        read_torch(tmp_path / "whole.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="holds a list, not a state dict"):
        read_torch(tmp_path / "list.pt")
    torch.save({"w": torch.tensor(1.0)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert read_torch(tmp_path / "old.pth").shapes == {"w": ()}


def test_a_pickle_under_a_torch_suffix_runs_nothing(tmp_path):
    pytest.importorskip("torch")

    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    path = written(tmp_path, pickle.dumps({"w": Trap()}), "trap.pt")
    with pytest.raises(ValueError, match="not a plain state dict"):
        read_torch(path)
    assert not (tmp_path / "ran").exists()
