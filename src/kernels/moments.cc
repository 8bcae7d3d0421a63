#include "kernels/moments.h"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <type_traits>

namespace polysome {
namespace {

// A state's bytes: version and flags, count, sum, squares.
constexpr char kStateMark = 'M';
constexpr char kSumsMark = 'S';
// More values than any dataset has: a larger count is damage, and would overflow when merged.
constexpr std::int64_t kMostCount = std::int64_t{1} << 53;

double of_sum(const ExactSum<kValueWindow>& sum, std::uint64_t divisor) {
  return sum.has_infinity() ? sum.infinity() : divide(sum.magnitude(), divisor);
}

}  // namespace

void Moments::add(double x) {
  if (std::isnan(x)) return;
  ++count;
  sum.add(x);
  if (has_squares) squares.add_square(x);
}

void Moments::add(std::int64_t x) {
  ++count;
  sum.add(x);
  if (has_squares) squares.add_square(x);
}

void Moments::merge(const Moments& other) {
  if (other.count == 0) return;
  if (count == 0) has_squares = other.has_squares;
  has_squares = has_squares && other.has_squares;
  count += other.count;
  sum.merge(other.sum);
  if (has_squares) squares.merge(other.squares);
}

std::string Moments::serialize() const {
  std::string out(1, has_squares ? kStateMark : kSumsMark);
  out.append(reinterpret_cast<const char*>(&count), sizeof count);
  sum.append_to(&out);
  if (has_squares) squares.append_to(&out);
  return out;
}

Status Moments::merge(std::string_view bytes) {
  const bool marked = !bytes.empty() && (bytes[0] == kStateMark || bytes[0] == kSumsMark);
  std::int64_t more = 0;
  if (marked && bytes.size() > sizeof more) {
    const bool squared = bytes[0] == kStateMark;
    std::memcpy(&more, bytes.data() + 1, sizeof more);
    bytes.remove_prefix(1 + sizeof more);
    if (more != 0) has_squares = squared && (has_squares || count == 0);
    const bool both = squared && has_squares;
    if (more >= 0 && more <= kMostCount && sum.merge_from(&bytes) &&
        (!both || squares.merge_from(&bytes)) && (bytes.empty() || squared != both)) {
      count += more;
      return {};
    }
  }
  return fail(Code::kUserData,
              "not a state of ps_moments: its bytes are damaged or of another kind");
}

Result<Moments> Moments::parse(std::string_view bytes) {
  Moments out;
  POLYSOME_TRY(out.merge(bytes));
  out.has_squares = bytes[0] == kStateMark;
  return out;
}

double Moments::total() const { return of_sum(sum, 1); }

std::optional<double> Moments::mean() const {
  if (count == 0) return std::nullopt;
  return of_sum(sum, static_cast<std::uint64_t>(count));
}

std::optional<double> Moments::variance(int ddof) const {
  if (!has_squares || ddof < 0 || count <= ddof) return std::nullopt;
  if (sum.has_infinity()) return std::numeric_limits<double>::quiet_NaN();
  const auto n = static_cast<std::uint64_t>(count);
  const Magnitude numerator = scaled_minus_square(n, squares.magnitude(), sum.magnitude());
  // Negative only for made-up states: n Σx² ≥ (Σx)² (Cauchy-Schwarz).
  if (numerator.negative) return 0.0;
  return divide(numerator, static_cast<Uint128>(n) * (n - static_cast<std::uint64_t>(ddof)));
}

// --- the functions in SQL ---

namespace {

// What lies in DuckDB's group table: moved bytewise, destroyed once. Sums alone take a third of it.
template <bool kSquares>
struct State {
  std::int64_t count = 0;
  ExactSum<kValueWindow> sum;
  std::conditional_t<kSquares, ExactSum<kSquareWindow>, std::array<char, 0>> squares;

  template <class T>
  void add(T x) {
    if constexpr (std::is_same_v<T, double>)
      if (x != x) return;
    ++count;
    sum.add(x);
    if constexpr (kSquares) squares.add_square(x);
  }
  void merge(const State& other) {
    count += other.count;
    sum.merge(other.sum);
    if constexpr (kSquares) squares.merge(other.squares);
  }
  std::string serialize() const {
    std::string out(1, kSquares ? kStateMark : kSumsMark);
    out.append(reinterpret_cast<const char*>(&count), sizeof count);
    sum.append_to(&out);
    if constexpr (kSquares) squares.append_to(&out);
    return out;
  }
};

template <class S>
S* state_at(duckdb_aggregate_state state) {
  return reinterpret_cast<S*>(state);
}

// Exceptions (only bad_alloc can come) must not pass through DuckDB's C interface.
template <class F>
void guarded(duckdb_function_info info, F&& f) {
  try {
    f();
  } catch (const std::exception& e) {
    duckdb_aggregate_function_set_error(info, (std::string("exact sums: ") + e.what()).c_str());
  }
}

std::string_view text_in(duckdb_string_t* texts, idx_t row) {
  return {duckdb_string_t_data(&texts[row]), duckdb_string_t_length(texts[row])};
}

bool is_valid(const std::uint64_t* validity, idx_t row) {
  return validity == nullptr || (validity[row / 64] >> (row % 64) & 1) != 0;
}

template <class S>
idx_t state_size(duckdb_function_info) {
  return sizeof(S);
}

template <class S>
void state_init(duckdb_function_info, duckdb_aggregate_state state) {
  new (state) S();
}

template <class S>
void state_destroy(duckdb_aggregate_state* states, idx_t count) {
  for (idx_t i = 0; i < count; ++i) state_at<S>(states[i])->~S();
}

template <class S, class T>
void update(duckdb_function_info info, duckdb_data_chunk input, duckdb_aggregate_state* states) {
  const idx_t n = duckdb_data_chunk_get_size(input);
  duckdb_vector vector = duckdb_data_chunk_get_vector(input, 0);
  const auto* values = static_cast<const T*>(duckdb_vector_get_data(vector));
  const auto* validity = duckdb_vector_get_validity(vector);
  guarded(info, [&] {
    if (validity == nullptr) {
      for (idx_t i = 0; i < n; ++i) state_at<S>(states[i])->add(values[i]);
    } else {
      for (idx_t i = 0; i < n; ++i)
        if (is_valid(validity, i)) state_at<S>(states[i])->add(values[i]);
    }
  });
}

template <class S>
void combine(duckdb_function_info info, duckdb_aggregate_state* sources,
             duckdb_aggregate_state* targets, idx_t count) {
  guarded(info, [&] {
    for (idx_t i = 0; i < count; ++i) state_at<S>(targets[i])->merge(*state_at<S>(sources[i]));
  });
}

template <class S>
void finalize(duckdb_function_info info, duckdb_aggregate_state* states, duckdb_vector out,
              idx_t count, idx_t offset) {
  guarded(info, [&] {
    for (idx_t i = 0; i < count; ++i) {
      const std::string bytes = state_at<S>(states[i])->serialize();
      duckdb_vector_assign_string_element_len(out, offset + i, bytes.data(), bytes.size());
    }
  });
}

void update_merge(duckdb_function_info info, duckdb_data_chunk input,
                  duckdb_aggregate_state* states) {
  const idx_t n = duckdb_data_chunk_get_size(input);
  duckdb_vector vector = duckdb_data_chunk_get_vector(input, 0);
  auto* texts = static_cast<duckdb_string_t*>(duckdb_vector_get_data(vector));
  const auto* validity = duckdb_vector_get_validity(vector);
  guarded(info, [&] {
    for (idx_t i = 0; i < n; ++i) {
      if (!is_valid(validity, i)) continue;
      const auto merged = state_at<Moments>(states[i])->merge(text_in(texts, i));
      if (!merged) return duckdb_aggregate_function_set_error(info, merged.error().message.c_str());
    }
  });
}

// f(moments, ddof) → std::optional<T>, NULL when empty.
template <class T, auto kFunction>
void scalar(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector out) {
  const idx_t n = duckdb_data_chunk_get_size(input);
  duckdb_vector vector = duckdb_data_chunk_get_vector(input, 0);
  auto* texts = static_cast<duckdb_string_t*>(duckdb_vector_get_data(vector));
  const auto* validity = duckdb_vector_get_validity(vector);
  const std::int32_t* ddofs = nullptr;
  const std::uint64_t* ddof_validity = nullptr;
  if (duckdb_data_chunk_get_column_count(input) > 1) {
    duckdb_vector second = duckdb_data_chunk_get_vector(input, 1);
    ddofs = static_cast<const std::int32_t*>(duckdb_vector_get_data(second));
    ddof_validity = duckdb_vector_get_validity(second);
  }
  auto* values = static_cast<T*>(duckdb_vector_get_data(out));
  duckdb_vector_ensure_validity_writable(out);
  auto* out_validity = duckdb_vector_get_validity(out);
  try {
    for (idx_t i = 0; i < n; ++i) {
      std::optional<T> value;
      if (ddofs == nullptr || is_valid(ddof_validity, i)) {
        Moments moments;
        if (is_valid(validity, i)) {
          auto parsed = Moments::parse(text_in(texts, i));
          if (!parsed)
            return duckdb_scalar_function_set_error(info, parsed.error().message.c_str());
          moments = std::move(*parsed);
        }
        value = kFunction(moments, ddofs == nullptr ? 0 : ddofs[i]);
      }
      if (value)
        values[i] = *value;
      else
        duckdb_validity_set_row_invalid(out_validity, i);
    }
  } catch (const std::exception& e) {
    duckdb_scalar_function_set_error(info, e.what());
  }
}

std::optional<std::int64_t> count_of(const Moments& m, int) { return m.count; }
std::optional<double> total_of(const Moments& m, int) { return m.total(); }
std::optional<double> mean_of(const Moments& m, int) { return m.mean(); }
std::optional<double> variance_of(const Moments& m, int ddof) { return m.variance(ddof); }
std::optional<double> deviation_of(const Moments& m, int ddof) {
  return m.variance(ddof).transform([](double v) { return std::sqrt(v); });
}

class LogicalType {
 public:
  explicit LogicalType(duckdb_type type) : type_(duckdb_create_logical_type(type)) {}
  ~LogicalType() { duckdb_destroy_logical_type(&type_); }
  LogicalType(const LogicalType&) = delete;
  LogicalType& operator=(const LogicalType&) = delete;
  duckdb_logical_type get() const { return type_; }

 private:
  duckdb_logical_type type_;
};

template <class S>
duckdb_aggregate_function make_aggregate(const char* name, duckdb_type argument,
                                         duckdb_aggregate_update_t update_function) {
  duckdb_aggregate_function f = duckdb_create_aggregate_function();
  const LogicalType input(argument), output(DUCKDB_TYPE_BLOB);
  duckdb_aggregate_function_set_name(f, name);
  duckdb_aggregate_function_add_parameter(f, input.get());
  duckdb_aggregate_function_set_return_type(f, output.get());
  duckdb_aggregate_function_set_functions(f, state_size<S>, state_init<S>, update_function,
                                          combine<S>, finalize<S>);
  duckdb_aggregate_function_set_destructor(f, state_destroy<S>);
  return f;
}

template <class S>
Status register_sums(Session& session, const char* name) {
  duckdb_aggregate_function_set set = duckdb_create_aggregate_function_set(name);
  duckdb_aggregate_function of_doubles =
      make_aggregate<S>(name, DUCKDB_TYPE_DOUBLE, update<S, double>);
  duckdb_aggregate_function of_integers =
      make_aggregate<S>(name, DUCKDB_TYPE_BIGINT, update<S, std::int64_t>);
  const bool good =
      duckdb_add_aggregate_function_to_set(set, of_doubles) == DuckDBSuccess &&
      duckdb_add_aggregate_function_to_set(set, of_integers) == DuckDBSuccess &&
      duckdb_register_aggregate_function_set(session.connection(), set) == DuckDBSuccess;
  duckdb_destroy_aggregate_function(&of_doubles);
  duckdb_destroy_aggregate_function(&of_integers);
  duckdb_destroy_aggregate_function_set(&set);
  if (!good) return fail(Code::kInternal, std::string("DuckDB did not take ") + name);
  return {};
}

Status register_merge(Session& session) {
  duckdb_aggregate_function f =
      make_aggregate<Moments>("ps_moments_merge", DUCKDB_TYPE_BLOB, update_merge);
  const bool good = duckdb_register_aggregate_function(session.connection(), f) == DuckDBSuccess;
  duckdb_destroy_aggregate_function(&f);
  if (!good) return fail(Code::kInternal, "DuckDB did not take ps_moments_merge");
  return {};
}

Status register_scalar(Session& session, const char* name, bool with_ddof, duckdb_type result,
                       duckdb_scalar_function_t function) {
  duckdb_scalar_function f = duckdb_create_scalar_function();
  const LogicalType state(DUCKDB_TYPE_BLOB), ddof(DUCKDB_TYPE_INTEGER), output(result);
  duckdb_scalar_function_set_name(f, name);
  duckdb_scalar_function_add_parameter(f, state.get());
  if (with_ddof) duckdb_scalar_function_add_parameter(f, ddof.get());
  duckdb_scalar_function_set_return_type(f, output.get());
  duckdb_scalar_function_set_special_handling(f);
  duckdb_scalar_function_set_function(f, function);
  const bool good = duckdb_register_scalar_function(session.connection(), f) == DuckDBSuccess;
  duckdb_destroy_scalar_function(&f);
  if (!good) return fail(Code::kInternal, std::string("DuckDB did not take ") + name);
  return {};
}

}  // namespace

Status register_moments(Session& session) {
  POLYSOME_TRY(register_sums<State<true>>(session, "ps_moments"));
  POLYSOME_TRY(register_sums<State<false>>(session, "ps_sums"));
  POLYSOME_TRY(register_merge(session));
  POLYSOME_TRY(register_scalar(session, "ps_count", false, DUCKDB_TYPE_BIGINT,
                               scalar<std::int64_t, count_of>));
  POLYSOME_TRY(
      register_scalar(session, "ps_sum", false, DUCKDB_TYPE_DOUBLE, scalar<double, total_of>));
  POLYSOME_TRY(
      register_scalar(session, "ps_mean", false, DUCKDB_TYPE_DOUBLE, scalar<double, mean_of>));
  POLYSOME_TRY(
      register_scalar(session, "ps_var", true, DUCKDB_TYPE_DOUBLE, scalar<double, variance_of>));
  return register_scalar(session, "ps_std", true, DUCKDB_TYPE_DOUBLE, scalar<double, deviation_of>);
}

}  // namespace polysome
