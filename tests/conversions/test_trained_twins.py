"""Networks trained on real text, by `fit` and by PyTorch: converted end to end, or refused with what decides."""

import numpy as np
import pytest

from hitherto.architectures.outside import load
from hitherto.architectures.outside.torch_names import save
from hitherto.architectures.rnn import RNN
from hitherto.conversions.to_unitary import to_unitary
from hitherto.core.model import states_and_outputs
from hitherto.tasks.text import CharacterText
from hitherto.training.fit import fit
from hitherto.training.settings import Training

TEXT = CharacterText("python", length=32)  # the standard library, which is always there
WIDTH = 12


def outputs(model, x) -> np.ndarray:
    return np.asarray(states_and_outputs(model, x)[1])


@pytest.fixture(scope="module")
def chunk():
    return CharacterText("python", length=200, part="validation").sample(1, 0).inputs[0].astype(np.float64)


@pytest.mark.slow
def test_fitted_below_one(chunk):
    layer = RNN(TEXT.input_size, WIDTH, TEXT.output_size, "relu", norm_limit=0.99)
    training = Training(steps=60, batch=16, learning_rate=3e-3, validation=64, validate_every=60)
    model = fit(layer, TEXT, training, 0).best
    found = to_unitary(model, input_bound=1.0)
    y = outputs(model.astype(np.float64), chunk)
    assert np.abs(outputs(found.model, chunk) - y).max() <= 1e-12 * np.abs(y).max()
    assert found.certificate.states == 2 * WIDTH
    assert found.certificate.residual <= 1e-14


@pytest.mark.parametrize("gain", [0.5, 2.0])
def test_trained_by_pytorch(tmp_path, chunk, gain):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.RNN(TEXT.input_size, WIDTH, nonlinearity="relu", batch_first=True)
    net.weight_hh_l0.data *= gain
    out = torch.nn.Linear(WIDTH, TEXT.output_size)
    optimiser = torch.optim.Adam([*net.parameters(), *out.parameters()], 3e-3)
    data = TEXT.sample(64, 0)
    x, y = torch.tensor(data.inputs, dtype=torch.float32), torch.tensor(data.targets).long()
    for _ in range(40):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(out(net(x)[0]).flatten(0, 1), y.flatten()).backward()
        optimiser.step()
    torch.save(net.state_dict(), tmp_path / "net.pt")
    model = load(tmp_path / "net.pt", activation="relu")
    try:
        found = to_unitary(model, input_bound=1.0)
    except ValueError as refused:
        found, said = None, str(refused)
    if found is None:
        norm = np.linalg.norm(net.weight_hh_l0.detach().numpy(), 2)
        assert norm > 1
        assert f"the norm of weight_hh is {norm:.3f}"[:-2] in said
        assert "at best once units are rescaled (a certificate proves" in said
        return
    save(found.model, tmp_path / "twin.safetensors")
    from safetensors.torch import load_file

    arrays = load_file(tmp_path / "twin.safetensors")
    readout = arrays.pop("readout_l0")
    twin = torch.nn.RNN(TEXT.input_size, found.certificate.states, nonlinearity="relu", batch_first=True).double()
    twin.load_state_dict(arrays)
    given = torch.from_numpy(chunk)[None]
    theirs, ours = net.double()(given)[0].detach(), (twin(given)[0] @ readout.T).detach()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * float(theirs.abs().max()))
