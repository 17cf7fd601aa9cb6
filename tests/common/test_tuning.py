"""The devices of the mesh choose what is tuned to them."""

import types

import jax
import jax.numpy as jnp
import pytest

from siren_jax.common import mesh, tuning


@pytest.mark.parametrize(
  ("kind", "expected"),
  [
    ("cpu", tuning.CPU),
    ("TPU v5 lite", tuning.TPU),
    ("TPU v6e", tuning.TPU),
    ("NVIDIA H100 80GB HBM3", tuning.GPU),
    ("NVIDIA A100-SXM4-80GB", tuning.GPU),
    ("NVIDIA L4", tuning.GPU),
    ("NVIDIA A2", tuning.GPU),
    ("NVIDIA A800-SXM4-80GB", tuning.GPU),
    ("NVIDIA H20", tuning.GPU),
    ("NVIDIA GB10", tuning.GPU),
    ("NVIDIA RTX PRO 6000 Blackwell Server Edition", tuning.GPU),
    ("NVIDIA GH200 480GB", tuning.GPU),
    ("NVIDIA B200", tuning.GPU),
    ("NVIDIA GeForce RTX 4090", tuning.GPU),
    ("NVIDIA GeForce RTX 2080 Ti", tuning.OTHER_GPU),
    ("Tesla T4", tuning.OTHER_GPU),
    ("Tesla V100-SXM2-16GB", tuning.OTHER_GPU),
    ("AMD Instinct MI300X", tuning.OTHER_GPU),
  ],
)
def test_the_kind_of_device_chooses(monkeypatch, kind, expected):
  described = types.SimpleNamespace(
    abstract_device=types.SimpleNamespace(device_kind=kind)
  )
  monkeypatch.setattr(jax.sharding, "get_abstract_mesh", lambda: described)
  assert tuning.current() == expected


def test_without_a_mesh_this_process_chooses():
  assert tuning.current() == tuning.CPU
  with jax.set_mesh(mesh.make_mesh(mesh.MeshConfig())):
    assert jax.jit(lambda: tuning.current().cache_blocks)() == 4


def test_products_of_a_cpu_are_not_handed_to_ynnpack():
  x, y = jnp.ones((8, 64)), jnp.ones((64, 256))
  lowered = jax.jit(lambda x, y: jnp.tanh(x @ y)).lower(x, y)
  compiled = lowered.compile(tuning.CPU.compiler_options)
  assert "__ynn_fusion" not in compiled.as_text()
