"""An ONNX graph that is written operation by operation, and reads like the torch code it follows.

Torch's exporter reasons about every size as a formula. Over LMD-ViT's windows, whose counts are
found at run time, that takes it half a minute and leaves out pictures that are one window wide;
written here, a graph takes a second and any size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Union

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper
from torch import Tensor

LOWEST_OPSET = 18
NATIVE_GELU = 20  # the first opset that has an operation for it
_END = np.iinfo(np.int64).max

Operand = Union["Value", Tensor, Sequence[int], int, float]
"""A value of the graph, or numbers that become a constant: int64, or float32 where they are not
whole."""


class Value:
    """A tensor of a graph; what is done with it becomes an operation there.

    Args:
        graph: whose it is.
        name: what it is called in the graph.
    """

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph = graph
        self.name = name

    def __add__(self, other: Operand) -> Value:
        return self.graph.op("Add", self, other)

    def __sub__(self, other: Operand) -> Value:
        return self.graph.op("Sub", self, other)

    def __rsub__(self, other: Operand) -> Value:
        return self.graph.op("Sub", other, self)

    def __mul__(self, other: Operand) -> Value:
        return self.graph.op("Mul", self, other)

    def __floordiv__(self, other: int) -> Value:
        """Of sizes, which are not negative: ONNX rounds towards zero."""
        return self.graph.op("Div", self, other)

    def __matmul__(self, other: Operand) -> Value:
        return self.graph.op("MatMul", self, other)

    def size(self, dim: int) -> Value:
        """One of its sizes, int64 [1]."""
        return self.graph.op("Shape", self, start=dim, end=dim + 1)

    def reshape(self, *sizes: int | Value) -> Value:
        """With other sizes: 0 keeps the one at its place, -1 takes what is left."""
        return self.graph.op("Reshape", self, self.graph.join(*sizes))

    def permute(self, *order: int) -> Value:
        """With its dimensions in another order."""
        return self.graph.op("Transpose", self, perm=order)

    def unsqueeze(self, *dims: int) -> Value:
        """With further dimensions of size 1."""
        return self.graph.op("Unsqueeze", self, dims)

    def take(self, numbers: Operand, dim: int = 0) -> Value:
        """Some of its slices; all dimensions of ``numbers`` come in the place of ``dim``."""
        return self.graph.op("Gather", self, numbers, axis=dim)

    def cut(self, begin: Operand, end: Operand, dim: int) -> Value:
        """From one place to before another, each int64 [1]."""
        return self.graph.op("Slice", self, begin, end, [dim])

    def roll(self, shift: int, dims: Sequence[int]) -> Value:
        """What ``torch.roll`` does, by the same shift in every dimension."""
        rolled = self
        for dim in dims if shift else ():
            parts = rolled.cut([-shift], [_END], dim), rolled.cut([0], [-shift], dim)
            rolled = self.graph.op("Concat", *parts, axis=dim)
        return rolled

    def mean(self, *dims: int) -> Value:
        """The mean over some dimensions, which go."""
        return self.graph.op("ReduceMean", self, dims, keepdims=0)

    def gelu(self) -> Value:
        """GELU, exactly."""
        if self.graph.opset >= NATIVE_GELU:
            return self.graph.op("Gelu", self)
        halves = self.graph.op("Erf", self * math.sqrt(0.5)) + 1.0
        return self * halves * 0.5

    def normed(self, weight: Tensor, bias: Tensor | None, eps: float) -> Value:
        """Layer normalisation over the last dimension."""
        affine = (weight,) if bias is None else (weight, bias)
        return self.graph.op("LayerNormalization", self, *affine, epsilon=eps)


class Graph:
    """A graph that grows.

    Args:
        opset: version of ONNX's operations, from :data:`LOWEST_OPSET`.
    """

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[object, ...], onnx.TensorProto] = {}

    def input(self, name: str, shape: Sequence[int | str], about: str) -> Value:
        """Declare a float32 input; sizes with a name are free."""
        self._inputs.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape, doc_string=about)
        )
        return Value(self, name)

    def output(self, name: str, value: Value, shape: Sequence[int | str], about: str) -> None:
        """Declare a value as a float32 output under a name of its own."""
        self._nodes.append(helper.make_node("Identity", [value.name], [name]))
        self._outputs.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape, doc_string=about)
        )

    def op(self, kind: str, *operands: Operand | None, **attributes: Any) -> Value:
        """Add an operation with one result.

        Args:
            kind: ONNX's name of it.
            *operands: its inputs; None leaves one out.
            **attributes: its attributes.
        """
        names = [self._name_of(operand) for operand in operands]
        result = f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, names, [result], result, **attributes))
        return Value(self, result)

    def join(self, *sizes: int | Value) -> Operand:
        """Sizes as one int64 vector."""
        if not any(isinstance(size, Value) for size in sizes):
            return [size for size in sizes if isinstance(size, int)]
        parts = [size if isinstance(size, Value) else [size] for size in sizes]
        return self.op("Concat", *parts, axis=0)

    def count(self, end: Value) -> Value:
        """0, 1, ... to before ``end``, int64 [1]."""
        return self.op("Range", 0, self.op("Squeeze", end, [0]), 1)

    def include(self, model: onnx.ModelProto, *inputs: Value) -> list[Value]:
        """Put another graph of the same opset in, and give its outputs."""
        model = compose.add_prefix(model, "network/")
        for own, given in zip(model.graph.input, inputs, strict=True):
            self._nodes.append(helper.make_node("Identity", [given.name], [own.name]))
        self._nodes.extend(model.graph.node)
        self._constants |= {(each.name,): each for each in model.graph.initializer}
        return [Value(self, output.name) for output in model.graph.output]

    def model(self, name: str, version: str, about: str, facts: dict[str, str]) -> onnx.ModelProto:
        """The finished model, checked.

        Args:
            name: of the graph.
            version: of this package.
            about: a sentence or more for who opens the file.
            facts: its metadata.
        """
        opsets = [helper.make_opsetid("", self.opset)]
        graph = helper.make_graph(
            self._nodes, name, self._inputs, self._outputs, list(self._constants.values())
        )
        model = helper.make_model(
            graph,
            opset_imports=opsets,
            ir_version=helper.find_min_ir_version_for(opsets),
            producer_name="unsmear",
            producer_version=version,
            doc_string=about,
        )
        helper.set_model_props(model, facts)
        onnx.checker.check_model(model)
        return model

    def _name_of(self, operand: Operand | None) -> str:
        if operand is None:
            return ""
        if isinstance(operand, Value):
            return operand.name
        if isinstance(operand, Tensor):
            array = operand.detach().cpu().numpy()
        else:
            array = np.asarray(operand)
        array = array.astype(np.int64 if array.dtype.kind in "iu" else np.float32, order="C")
        # The same numbers, such as a shape that every block reshapes to, are stored once.
        key = (array.dtype, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._constants[key] = numpy_helper.from_array(array, name)
        return self._constants[key].name
