// Compressed files of many blocks or frames, unpacked in stretches: the rows of the stretches are
// the rows of the file, wherever it is cut.
#include "data/unpack_range.h"

#include <gmock/gmock.h>
#include <zlib.h>
#include <zstd.h>

#include <random>

#include "data/data_fixture.h"

namespace polysome {
namespace {

using testing::HasSubstr;

std::string little_endian(std::uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
  return out;
}

// As bgzip writes it, but with blocks of any size.
std::string bgzf_block(std::string_view text) {
  z_stream z{};
  deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
  std::string body(deflateBound(&z, text.size()) + 64, '\0');
  z.next_in = reinterpret_cast<unsigned char*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<unsigned>(text.size());
  z.next_out = reinterpret_cast<unsigned char*>(body.data());
  z.avail_out = static_cast<unsigned>(body.size());
  deflate(&z, Z_FINISH);
  body.resize(z.total_out);
  deflateEnd(&z);
  const auto sum = crc32(0, reinterpret_cast<const unsigned char*>(text.data()),
                         static_cast<unsigned>(text.size()));
  return std::string("\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0", 16) +
         little_endian(body.size() + 25, 2) + body + little_endian(sum, 4) +
         little_endian(text.size(), 4);
}

std::string zstd_frame(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

// A frame with its size before it, as pzstd writes it.
std::string sized_frame(std::string_view text) {
  const std::string frame = zstd_frame(text);
  return little_endian(0x184D2A50, 4) + little_endian(4, 4) + little_endian(frame.size(), 4) +
         frame;
}

using Packer = std::string (*)(std::string_view);

std::string packed(std::string_view text, Packer pack, std::mt19937& random, std::size_t most) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t n = std::min<std::size_t>(1 + random() % most, text.size() - at);
    out += pack(text.substr(at, n));
    at += n;
  }
  return out;
}

class UnpackRange : public DataTest {
 protected:
  // Every stretch from outside quotes first; those that had begun wrongly again, as the ends of
  // those before them tell. What the service's core does.
  Result<TableSource> in_stretches(const TableSource& source, std::uint64_t range_bytes,
                                   std::uint64_t part_bytes) {
    std::vector<UnpackedPart> parts;
    stretches_ = 0;
    for (std::uint32_t f = 0; f < source.files.size(); ++f) {
      POLYSOME_ASSIGN(const auto cuts, packed_cuts(source.files[f], range_bytes));
      bool inside = false;
      std::uint64_t lines = 0;
      for (std::size_t i = 0; i <= cuts.size(); ++i, ++stretches_) {
        PackedRange range;
        if (i > 0) range.begin = cuts[i - 1];
        if (i < cuts.size()) range.end = cuts[i];
        UnpackedRange out;
        for (const bool start : {false, true}) {
          if (start && !inside) break;
          reruns_ += start ? 1 : 0;
          ScanOptions options;
          options.start_inside_quotes = start;
          const auto prefix = path(std::to_string(f) + "." + std::to_string(stretches_) +
                                   (start ? ".again." : ".first."));
          const UnpackedRange before = out;
          POLYSOME_ASSIGN(out, unpack_range(source, f, range, part_bytes, prefix, options));
          if (!start) continue;
          EXPECT_EQ(before.ends_inside_if_outside, out.ends_inside_if_outside);
          EXPECT_EQ(before.ends_inside_if_inside, out.ends_inside_if_inside);
          EXPECT_EQ(before.lines, out.lines);
        }
        for (auto& p : out.parts) {
          p.lines_before = lines;
          parts.push_back(p);
        }
        lines += out.lines;
        inside = inside ? out.ends_inside_if_inside : out.ends_inside_if_outside;
      }
    }
    return unpacked_source(source, parts);
  }
  std::size_t stretches_ = 0;
};

std::string nasty(std::mt19937& random, int rows) {
  static const std::vector<std::string> kBits{
      "a", "\"\"", "\n", ",", "\r\n", "#", "\n\"\"", "\n\n", "é", "x y", ",\"\"\n", "0,1\n2,3\n"};
  std::string text = "# a note\nid,text,x\n";
  for (int i = 0; i < rows; ++i) {
    text += std::to_string(i) + ",\"";
    for (unsigned n = random() % 9; n > 0; --n) text += kBits[random() % kBits.size()];
    text += "\"," + std::to_string(random() % 100) + (random() % 4 == 0 ? "\r\n" : "\n");
    if (random() % 20 == 0) text += "# \"not a quote\n";
  }
  return text;
}

TEST_F(UnpackRange, StretchesGiveTheRowsOfTheFileWhereverItIsCut) {
  std::mt19937 random(7);
  const std::vector<std::pair<const char*, Packer>> packers{
      {"bgzf.csv.gz", bgzf_block}, {"frames.csv.zst", zstd_frame}, {"sized.csv.zst", sized_frame}};
  std::size_t cut = 0;
  for (int round = 0; round < 6; ++round) {
    std::string text = nasty(random, 400);
    if (round % 2 == 0) text.pop_back();
    const Json layout = {{"comment", "#"}, {"types", {{"text", "string"}}}};
    const auto plain = look(write("plain.csv", text), layout);
    ASSERT_TRUE(plain) << plain.error().message;
    const Table expected = *read_all(*plain);
    for (const auto& [name, pack] : packers) {
      const auto file = write(name, packed(text, pack, random, round < 3 ? 200 : 3000));
      const auto source = look(file, layout);
      ASSERT_TRUE(source) << source.error().message;
      for (const std::uint64_t bytes : {1ULL, 700ULL, 20'000ULL}) {
        const auto made = in_stretches(*source, bytes, 3000);
        ASSERT_TRUE(made) << made.error().message;
        cut += stretches_ - 1;
        EXPECT_EQ(*read_all(*made), expected) << name << ", round " << round << ", " << bytes;
      }
    }
  }
  EXPECT_GT(cut, 500U);
  EXPECT_GT(reruns_, 100) << "some stretches began inside quotes";
}

TEST_F(UnpackRange, ARowLongerThanAllStretchesBelongsToTheOneItBeginsIn) {
  std::mt19937 random(3);
  std::string text = "id,text\n1,\"" + std::string(200'000, 'x') + "\n\"\"" +
                     std::string(200'000, '\n') + "\"\n2," + std::string(100'000, 'y') + "\n3,z";
  for (auto& c : text)
    if (c == 'x') c = static_cast<char>('a' + random() % 26);
  const auto plain = look(write("plain.csv", text));
  const Table expected = *read_all(*plain);
  ASSERT_EQ(expected.size(), 3U);
  const auto source = look(write("long.csv.gz", packed(text, bgzf_block, random, 5000)));
  ASSERT_TRUE(source) << source.error().message;
  const auto made = in_stretches(*source, 500, 1000);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_GT(stretches_, 20U);
  EXPECT_EQ(*read_all(*made), expected);
}

TEST_F(UnpackRange, LinesAreThoseOfTheWholeFile) {
  std::mt19937 random(5);
  std::string text = "g,x\n";
  for (int i = 0; i < 9000; ++i) text += "\"a\nb\"," + std::to_string(random() % 1000) + "\n";
  text += "a,bad\n";
  const auto source = look(write("t.csv.gz", packed(text, bgzf_block, random, 3000)),
                           {{"types", {{"x", "int64"}}}});
  const auto made = in_stretches(*source, 2000, 1000);
  ASSERT_TRUE(made);
  ASSERT_GT(stretches_, 5U);
  const auto back = TableSource::from_json(made->to_json());
  const auto table = read_all(*back);
  ASSERT_FALSE(table);
  EXPECT_THAT(table.error().message, HasSubstr("t.csv.gz, line 18,002"));
}

TEST_F(UnpackRange, OneStreamIsNotCutAndADamagedBlockIsNamed) {
  std::mt19937 random(6);
  std::string text = "a,b\n";
  for (int i = 0; i < 20'000; ++i) text += std::to_string(random()) + ",1\n";
  const auto one = look(write("one.csv.zst", zstd_frame(text)));
  EXPECT_TRUE(packed_cuts(one->files[0], 1000)->empty());
  std::string bytes = packed(text, bgzf_block, random, 6000);
  const auto source = look(write("broken.csv.gz", bytes));
  ASSERT_TRUE(source);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x55);
  write("broken.csv.gz", bytes);
  const auto made = in_stretches(*source, 3000, 1000);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, Code::kUserData);
  EXPECT_THAT(made.error().message, HasSubstr("broken.csv.gz: damaged near byte"));
}

TEST_F(UnpackRange, AFileThatEndsTooEarlyIsNamedInWhicheverStretch) {
  std::mt19937 random(8);
  std::string text = "a,b\n";
  for (int i = 0; i < 20'000; ++i) text += std::to_string(random()) + ",1\n";
  for (const auto& [name, pack] : {std::pair<const char*, Packer>{"cut.csv.gz", bgzf_block},
                                   {"cut.csv.zst", zstd_frame},
                                   {"sized.csv.zst", sized_frame}}) {
    const std::string bytes = packed(text, pack, random, 6000);
    auto source = look(write(name, bytes));
    ASSERT_TRUE(source) << source.error().message;
    write(name, bytes.substr(0, bytes.size() - 11));
    source->files[0].bytes -= 11;
    const auto made = in_stretches(*source, 3000, 1000);
    ASSERT_FALSE(made) << name;
    EXPECT_EQ(made.error().code, Code::kUserData);
    EXPECT_THAT(made.error().message, HasSubstr(name));
    EXPECT_THAT(made.error().message, HasSubstr("ends before its data does"));
  }
}

TEST_F(UnpackRange, PlainFilesAmongPackedOnesAreReadToo) {
  write("m/1.csv", "a\n1\n2\n");
  write("m/2.csv.zst", zstd_frame("a\n3\n"));
  const auto source = look(path("m"));
  ASSERT_TRUE(source) << source.error().message;
  const auto made = in_stretches(*source, 1'000'000, 1000);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(*read_all(*made), (Table{{"1"}, {"2"}, {"3"}}));
}

}  // namespace
}  // namespace polysome
