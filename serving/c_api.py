"""A SavedModel run by TensorFlow's C API, from Python threads.

It is the route of the server's own C++: no Python object of the model exists, and only the
operations check shapes. A call releases Python's global lock, so that threads run in parallel.
"""

import ctypes
import importlib.util
import pathlib
import threading
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

STRING = 7  # TF_STRING
DTYPES = {1: np.float32, 2: np.float64, 3: np.int32, 9: np.int64, 10: np.bool_}
CODES = {np.dtype(dtype): code for code, dtype in DTYPES.items()}
STRING_SIZE = 24  # sizeof(TF_TString)


class CApiError(RuntimeError):
    """An error of TensorFlow.

    Args:
        code: Its canonical status code.
        message: Its message.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


_POINTER, _SIZE, _TEXT, _INT = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_int
_OUTPUTS, _TENSORS = ctypes.POINTER(_Output), ctypes.POINTER(ctypes.c_void_p)
_DIMENSIONS = ctypes.POINTER(ctypes.c_int64)
# Name, result and arguments of each function that is called.
FUNCTIONS = (
    ("TF_NewStatus", _POINTER, ()),
    ("TF_DeleteStatus", None, (_POINTER,)),
    ("TF_GetCode", _INT, (_POINTER,)),
    ("TF_Message", _TEXT, (_POINTER,)),
    ("TF_NewGraph", _POINTER, ()),
    ("TF_DeleteGraph", None, (_POINTER,)),
    ("TF_NewSessionOptions", _POINTER, ()),
    ("TF_DeleteSessionOptions", None, (_POINTER,)),
    ("TF_SetConfig", None, (_POINTER, _TEXT, _SIZE, _POINTER)),
    ("TF_NewBuffer", _POINTER, ()),
    ("TF_DeleteBuffer", None, (_POINTER,)),
    (
        "TF_LoadSessionFromSavedModel",
        _POINTER,
        (_POINTER, _POINTER, _TEXT, ctypes.POINTER(_TEXT), _INT, _POINTER, _POINTER, _POINTER),
    ),
    ("TF_CloseSession", None, (_POINTER, _POINTER)),
    ("TF_DeleteSession", None, (_POINTER, _POINTER)),
    ("TF_GraphOperationByName", _POINTER, (_POINTER, _TEXT)),
    ("TF_AllocateTensor", _POINTER, (_INT, _DIMENSIONS, _INT, _SIZE)),
    ("TF_DeleteTensor", None, (_POINTER,)),
    ("TF_TensorData", _POINTER, (_POINTER,)),
    ("TF_TensorByteSize", _SIZE, (_POINTER,)),
    ("TF_TensorType", _INT, (_POINTER,)),
    ("TF_NumDims", _INT, (_POINTER,)),
    ("TF_Dim", ctypes.c_int64, (_POINTER, _INT)),
    ("TF_StringInit", None, (_POINTER,)),
    ("TF_StringCopy", None, (_POINTER, _TEXT, _SIZE)),
    ("TF_StringDealloc", None, (_POINTER,)),
    ("TF_StringGetSize", _SIZE, (_POINTER,)),
    ("TF_StringGetDataPointer", _POINTER, (_POINTER,)),
    (
        "TF_SessionRun",
        None,
        (
            _POINTER,
            _POINTER,
            _OUTPUTS,
            _TENSORS,
            _INT,
            _OUTPUTS,
            _TENSORS,
            _INT,
            _POINTER,
            _INT,
            _POINTER,
            _POINTER,
        ),
    ),
)


def _load() -> ctypes.CDLL:
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("tensorflow is not installed")
    folder = pathlib.Path(spec.submodule_search_locations[0])
    library = ctypes.CDLL(str(folder / "libtensorflow_cc.so.2"))
    for name, result, arguments in FUNCTIONS:
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class SavedModel:
    """A loaded SavedModel; several threads may call `run` at once.

    Args:
        path: The version's folder.
        intra_op_threads: Threads of one operation. Defaults to 0: one for each core.
        inter_op_threads: Operations at a time. Defaults to 0: one for each core.

    Raises:
        CApiError: If the model does not load.
    """

    def __init__(
        self, path: pathlib.Path, intra_op_threads: int = 0, inter_op_threads: int = 0
    ) -> None:
        from tensorflow.core.protobuf import config_pb2, meta_graph_pb2

        self._library = library = _load()
        self._session = None
        self._graph = library.TF_NewGraph()
        config = config_pb2.ConfigProto(
            intra_op_parallelism_threads=intra_op_threads,
            inter_op_parallelism_threads=inter_op_threads,
        ).SerializeToString()
        options, meta = library.TF_NewSessionOptions(), library.TF_NewBuffer()
        status = library.TF_NewStatus()
        try:
            library.TF_SetConfig(options, config, len(config), status)
            self._check(status)
            tags = (ctypes.c_char_p * 1)(b"serve")
            self._session = library.TF_LoadSessionFromSavedModel(
                options, None, str(path).encode(), tags, 1, self._graph, meta, status
            )
            self._check(status)
            # TF_Buffer begins with its data and their size.
            data = ctypes.cast(meta, ctypes.POINTER(ctypes.c_void_p))
            length = ctypes.cast(meta, ctypes.POINTER(ctypes.c_size_t))[1]
            self.meta_graph = meta_graph_pb2.MetaGraphDef.FromString(
                ctypes.string_at(data[0], length)
            )
        finally:
            library.TF_DeleteStatus(status)
            library.TF_DeleteBuffer(meta)
            library.TF_DeleteSessionOptions(options)
        self._places: dict[str, _Output] = {}
        self._lock = threading.Lock()

    def run(self, signature: str, inputs: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """The outputs of a signature.

        Args:
            signature: Its name.
            inputs: Arrays by name; strings as objects, bytes or str.

        Returns:
            Arrays by name; strings as objects, bytes.

        Raises:
            CApiError: If the graph raises an error.
        """
        definition = self.meta_graph.signature_def[signature]
        names = list(definition.outputs)
        given = [self._place(definition.inputs[name].name) for name in inputs]
        wanted = [self._place(definition.outputs[name].name) for name in names]
        library, status = self._library, self._library.TF_NewStatus()
        feeds: list[int] = []
        answers = (ctypes.c_void_p * len(names))()
        try:
            feeds.extend(self._tensor(value) for value in inputs.values())
            library.TF_SessionRun(
                self._session,
                None,
                (_Output * len(given))(*given),
                (ctypes.c_void_p * len(feeds))(*feeds),
                len(feeds),
                (_Output * len(wanted))(*wanted),
                answers,
                len(names),
                None,
                0,
                None,
                status,
            )
            self._check(status)
            return {name: self._array(one) for name, one in zip(names, answers, strict=True)}
        finally:
            library.TF_DeleteStatus(status)
            for tensor, value in zip(feeds, inputs.values(), strict=False):
                if value.dtype == object:  # Deleting a tensor does not free its long strings.
                    data = library.TF_TensorData(tensor)
                    for number in range(value.size):
                        library.TF_StringDealloc(data + number * STRING_SIZE)
            for tensor in (*feeds, *answers):
                if tensor:
                    library.TF_DeleteTensor(tensor)

    def close(self) -> None:
        """Frees the model; no call may run any more."""
        if self._session is not None:
            status = self._library.TF_NewStatus()
            self._library.TF_CloseSession(self._session, status)
            self._library.TF_DeleteSession(self._session, status)
            self._library.TF_DeleteStatus(status)
            self._library.TF_DeleteGraph(self._graph)
            self._session = None

    def _place(self, name: str) -> _Output:
        with self._lock:
            if name not in self._places:
                operation, _, index = name.partition(":")
                found = self._library.TF_GraphOperationByName(self._graph, operation.encode())
                if not found:
                    raise CApiError(5, f"the graph has no operation {operation}")
                self._places[name] = _Output(found, int(index))
            return self._places[name]

    def _tensor(self, value: NDArray) -> int:
        library = self._library
        shape = (ctypes.c_int64 * value.ndim)(*value.shape)
        if value.dtype != object:
            value = np.ascontiguousarray(value)
            code = CODES[value.dtype]
            tensor = library.TF_AllocateTensor(code, shape, value.ndim, value.nbytes)
            ctypes.memmove(library.TF_TensorData(tensor), value.ctypes.data, value.nbytes)
            return tensor
        tensor = library.TF_AllocateTensor(STRING, shape, value.ndim, STRING_SIZE * value.size)
        data = library.TF_TensorData(tensor)
        for number, text in enumerate(value.ravel()):
            content = text.encode() if isinstance(text, str) else text
            library.TF_StringInit(data + number * STRING_SIZE)
            library.TF_StringCopy(data + number * STRING_SIZE, content, len(content))
        return tensor

    def _array(self, tensor: int) -> NDArray:
        library = self._library
        shape = [library.TF_Dim(tensor, n) for n in range(library.TF_NumDims(tensor))]
        data, count = library.TF_TensorData(tensor), int(np.prod(shape))
        code = library.TF_TensorType(tensor)
        if code != STRING:
            content = ctypes.string_at(data, library.TF_TensorByteSize(tensor)) if count else b""
            return np.frombuffer(content, DTYPES[code]).reshape(shape)
        values = np.empty(count, object)
        for number in range(count):
            place = data + number * STRING_SIZE
            size = library.TF_StringGetSize(place)
            pointer = library.TF_StringGetDataPointer(place)
            values[number] = ctypes.string_at(pointer, size) if size else b""
        return values.reshape(shape)

    def _check(self, status: int) -> None:
        code = self._library.TF_GetCode(status)
        if code:
            message = self._library.TF_Message(status).decode(errors="replace")
            raise CApiError(code, message)
