// Labels of the host's list (recipe.h: LabelKind): what the rows that ask about a document thought of each of its tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "manifest/recipe.h"
#include "train/document_rows.h"

namespace tenure {

// c (m, n) = scale * a (m, k) b (n, k)^T; lda, ldb, ldc: elements from one row to the next.
struct MatrixProduct {
  uint32_t m = 0, n = 0, k = 0;
  float scale = 1;
  const float* a = nullptr;
  uint32_t lda = 0;
  const float* b = nullptr;
  uint32_t ldb = 0;
  float* c = nullptr;
  uint32_t ldc = 0;
};
using Multiply = std::function<void(const MatrixProduct&)>;
// task(i) for each i < n, in any order and on any thread; returns when all are done.
using ForEach = std::function<void(uint32_t n, const std::function<void(uint32_t)>& task)>;

// A layer's heads.
struct AttentionShape {
  uint32_t n_heads = 0;
  uint32_t n_kv_heads = 0;
  uint32_t head_dim = 0;
  float scale = 1;  // of q.k
};

// TENURE_EVIDENCE_* of rows that a label is made of beside queries and keys.
uint32_t label_evidence(LabelKind kind);

// The maximum over label rows, and over the query heads that share a KV head. A label row's softmax is over the document
// and its own question's tokens up to itself.
class LabelMaker {
 public:
  LabelMaker(LabelKind kind, float floor, Multiply multiply, ForEach for_each)
      : kind_(kind), floor_(floor), multiply_(std::move(multiply)), for_each_(std::move(for_each)) {}

  // labels (n_tokens, n_kv_heads). A document without questions has the floor everywhere.
  void make(const DocumentLayout& layout, const LayerRowStore& rows, const AttentionShape& shape, std::vector<float>& labels);

 private:
  // One KV head's column of `labels`.
  void reduce(const DocumentLayout& layout, const LayerRowStore& rows, const AttentionShape& shape, uint32_t kv_head, float* labels) const;

  LabelKind kind_;
  float floor_;
  Multiply multiply_;
  ForEach for_each_;
  std::vector<float> scores_;  // (n_heads, n_label_rows, n_tokens)
};

}  // namespace tenure
