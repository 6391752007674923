/* Runs a SavedModel through the TensorFlow C API, without a line of Python.
 *
 *     capi_runner EXPORT INPUT OUTPUT
 *
 * INPUT holds, in this machine's byte order: int32 number of inputs; of each its operation's name,
 * int32 output index and tensor; int32 number of outputs; of each its operation's name and int32
 * output index. OUTPUT receives one tensor an output, in order.
 * A name or a string: int64 length, bytes. A tensor: int32 dtype, int32 rank, int64 sizes, then the
 * values one after the other.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"

#define MAX_TENSORS 16
#define MAX_RANK 8

static void fail(const char* what) {
  fprintf(stderr, "capi_runner: %s\n", what);
  exit(1);
}

static void check(const TF_Status* status) {
  if (TF_GetCode(status) != TF_OK) fail(TF_Message(status));
}

static void read_bytes(void* to, size_t size, FILE* file) {
  if (size && fread(to, 1, size, file) != size) fail("the input is too short");
}

static int32_t read_int32(FILE* file) {
  int32_t value;
  read_bytes(&value, sizeof value, file);
  return value;
}

static int64_t read_int64(FILE* file) {
  int64_t value;
  read_bytes(&value, sizeof value, file);
  return value;
}

static char* read_string(FILE* file, int64_t* length) {
  *length = read_int64(file);
  char* text = malloc(*length + 1);
  read_bytes(text, *length, file);
  text[*length] = 0;
  return text;
}

static TF_Output read_output(FILE* file, TF_Graph* graph) {
  int64_t length;
  char* name = read_string(file, &length);
  TF_Output output = {TF_GraphOperationByName(graph, name), read_int32(file)};
  if (!output.oper) fail(name);
  free(name);
  return output;
}

static TF_Tensor* read_tensor(FILE* file) {
  TF_DataType dtype = (TF_DataType)read_int32(file);
  int rank = read_int32(file);
  int64_t sizes[MAX_RANK], count = 1;
  if (rank > MAX_RANK) fail("the rank is too high");
  for (int i = 0; i < rank; i++) count *= sizes[i] = read_int64(file);
  size_t width = dtype == TF_STRING ? sizeof(TF_TString) : TF_DataTypeSize(dtype);
  TF_Tensor* tensor = TF_AllocateTensor(dtype, sizes, rank, count * width);
  if (dtype != TF_STRING) {
    read_bytes(TF_TensorData(tensor), count * width, file);
    return tensor;
  }
  TF_TString* strings = TF_TensorData(tensor);
  for (int64_t i = 0; i < count; i++) {
    int64_t length;
    char* text = read_string(file, &length);
    TF_StringInit(&strings[i]);
    TF_StringCopy(&strings[i], text, length);
    free(text);
  }
  return tensor;
}

static void write_tensor(const TF_Tensor* tensor, FILE* file) {
  int32_t head[2] = {TF_TensorType(tensor), TF_NumDims(tensor)};
  fwrite(head, sizeof head, 1, file);
  for (int i = 0; i < head[1]; i++) {
    int64_t size = TF_Dim(tensor, i);
    fwrite(&size, sizeof size, 1, file);
  }
  if (head[0] != TF_STRING) {
    fwrite(TF_TensorData(tensor), 1, TF_TensorByteSize(tensor), file);
    return;
  }
  const TF_TString* strings = TF_TensorData(tensor);
  for (int64_t i = 0; i < TF_TensorElementCount(tensor); i++) {
    int64_t length = TF_StringGetSize(&strings[i]);
    fwrite(&length, sizeof length, 1, file);
    fwrite(TF_StringGetDataPointer(&strings[i]), 1, length, file);
  }
}

int main(int argc, char** argv) {
  if (argc != 4) fail("usage: capi_runner EXPORT INPUT OUTPUT");
  TF_Status* status = TF_NewStatus();
  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  const char* tags[] = {"serve"};
  TF_Session* session =
      TF_LoadSessionFromSavedModel(options, NULL, argv[1], tags, 1, graph, NULL, status);
  check(status);

  FILE* file = fopen(argv[2], "rb");
  if (!file) fail("the input does not open");
  TF_Output inputs[MAX_TENSORS], outputs[MAX_TENSORS];
  TF_Tensor *given[MAX_TENSORS], *answered[MAX_TENSORS] = {0};
  int num_inputs = read_int32(file);
  if (num_inputs > MAX_TENSORS) fail("there are too many inputs");
  for (int i = 0; i < num_inputs; i++) {
    inputs[i] = read_output(file, graph);
    given[i] = read_tensor(file);
  }
  int num_outputs = read_int32(file);
  if (num_outputs > MAX_TENSORS) fail("there are too many outputs");
  for (int i = 0; i < num_outputs; i++) outputs[i] = read_output(file, graph);
  fclose(file);

  TF_SessionRun(session, NULL, inputs, given, num_inputs, outputs, answered, num_outputs, NULL, 0,
                NULL, status);
  check(status);

  file = fopen(argv[3], "wb");
  if (!file) fail("the output does not open");
  for (int i = 0; i < num_outputs; i++) {
    write_tensor(answered[i], file);
    TF_DeleteTensor(answered[i]);
  }
  if (fclose(file)) fail("the output does not close");
  for (int i = 0; i < num_inputs; i++) TF_DeleteTensor(given[i]);

  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteGraph(graph);
  TF_DeleteStatus(status);
  return 0;
}
