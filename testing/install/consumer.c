/* SPDX-License-Identifier: Apache-2.0 */
/* A program in C11 that knows nothing but the installed header: one run of each operation, checked by hand-made numbers. */
#include <math.h>
#include <metallic/metallic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(metallic_status status) {
  if (status == METALLIC_OK) return;
  fprintf(stderr, "%s: %s\n", metallic_status_name(status), metallic_last_error());
  exit(1);
}

static void near(const char* what, float got, double expected) {
  if (fabs(got - expected) <= 1e-6) return;
  fprintf(stderr, "%s is %.9g, not %.9g\n", what, got, expected);
  exit(1);
}

static void compute(metallic_context* context, const metallic_problem* problem, const metallic_tensors* tensors) {
  metallic_plan* plan = NULL;
  must(metallic_plan_create(context, problem, &plan));
  size_t bytes = 0;
  must(metallic_plan_workspace(plan, &bytes));
  void* workspace = bytes > 0 ? aligned_alloc(64, (bytes + 63) / 64 * 64) : NULL;
  must(metallic_plan_run(plan, tensors, workspace, bytes));
  const char* json = NULL;
  must(metallic_plan_explain(plan, &json));
  if (!strstr(json, "\"variant\"")) exit(1);
  free(workspace);
  metallic_plan_destroy(plan);
}

static void count(void* user, const metallic_candidate* candidate) { *(int*)user += candidate->possible; }

/* The same through the plan that the context keeps, with scratch memory of the library's, and with each candidate forced. */
static void compute_kept(metallic_context* context, const metallic_problem* problem, const metallic_tensors* tensors) {
  metallic_plan *plan = NULL, *again = NULL, *forced = NULL;
  must(metallic_plan_acquire(context, problem, &plan));
  must(metallic_plan_acquire(context, problem, &again));
  if (plan != again) exit(1);
  must(metallic_plan_run(plan, tensors, NULL, 0));
  must(metallic_plan_run_with(plan, tensors, NULL));
  int possible = 0;
  must(metallic_candidates(context, problem, count, &possible));
  if (possible < 2) exit(1);
  const char *chosen = NULL, *run = NULL;
  must(metallic_plan_candidate(plan, &chosen));
  metallic_plan_options options = {.struct_size = sizeof(options), .candidate = chosen};
  must(metallic_plan_create_with(context, problem, &options, &forced));
  must(metallic_plan_candidate(forced, &run));
  if (strcmp(chosen, run) != 0) exit(1);
  metallic_plan_destroy(forced);
  metallic_plan_release(again);
  metallic_plan_release(plan);
}

int main(int argc, char** argv) {
  if (argc != 2 || strcmp(argv[1], metallic_version()) != 0) {
    fprintf(stderr, "the library says %s\n", metallic_version());
    return 1;
  }
  metallic_context_options options = {.struct_size = sizeof(options), .threads = 2};
  metallic_context* context = NULL;
  must(metallic_context_create(&options, &context));
  metallic_tensors tensors = {.struct_size = sizeof(tensors)};

  /* Two rows of three keys: softmax(0, ln 2, ln 5) = (1, 2, 5) / 8, and equal keys get equal shares. */
  const float rows[6] = {0, 0.693147181f, 1.609437912f, 7, 7, 7};
  float shares[6];
  metallic_problem softmax = {.struct_size = sizeof(softmax), .op = METALLIC_SOFTMAX, .seq_q = 2, .seq_k = 3};
  tensors.a = rows;
  tensors.out = shares;
  compute(context, &softmax, &tensors);
  near("softmax[0][1]", shares[1], 0.25);
  near("softmax[0][2]", shares[2], 0.625);
  near("softmax[1][0]", shares[3], 1.0 / 3);

  /* [1 2; 3 4] * [5 6; 7 8], B stored transposed. */
  const float a[4] = {1, 2, 3, 4}, b[4] = {5, 7, 6, 8};
  float c[4];
  metallic_problem matmul = {.struct_size = sizeof(matmul), .op = METALLIC_MATMUL, .m = 2, .k = 2, .n = 2, .transpose_b = 1};
  tensors.a = a;
  tensors.b = b;
  tensors.out = c;
  compute(context, &matmul, &tensors);
  memset(c, 0, sizeof(c));
  compute_kept(context, &matmul, &tensors);
  near("C[0][0]", c[0], 19);
  near("C[0][1]", c[1], 22);
  near("C[1][0]", c[2], 43);
  near("C[1][1]", c[3], 50);

  /* One query of two heads that share K and V. With scale 1, the scores of head 0 are 0 and ln 3, of head 1 both 0. */
  const float q[4] = {1.098612289f, 0, 0, 0}, k[4] = {0, 0, 1, 0}, v[4] = {4, 8, 8, 16};
  float out[4];
  metallic_problem sdpa = {.struct_size = sizeof(sdpa),
                           .op = METALLIC_SDPA,
                           .scale = 1,
                           .seq_q = 1,
                           .seq_k = 2,
                           .heads = 2,
                           .kv_heads = 1,
                           .head_dim = 2};
  tensors.a = q;
  tensors.b = k;
  tensors.c = v;
  tensors.out = out;
  compute(context, &sdpa, &tensors);
  near("out[0][0]", out[0], 7);
  near("out[0][1]", out[1], 14);
  near("out[1][0]", out[2], 6);
  near("out[1][1]", out[3], 12);

  /* Errors come as statuses with a line. */
  matmul.m = -1;
  metallic_plan* none = NULL;
  if (metallic_plan_create(context, &matmul, &none) != METALLIC_INVALID_ARGUMENT || !strstr(metallic_last_error(), "-1"))
    return 1;
  metallic_context_destroy(context);
  return 0;
}
