#include "picture.hpp"

#include <png.h>

#include <algorithm>
#include <cmath>
#include <csetjmp>
#include <cstdio>
#include <memory>
#include <sstream>

#include "resize.hpp"

namespace {

constexpr double kMostPixels = 64e6;
constexpr int kLeastWidth = 8;

[[noreturn]] void fail(png_structp png, png_const_charp reason) {
  *static_cast<std::string*>(png_get_error_ptr(png)) = reason;
  std::longjmp(png_jmpbuf(png), 1);
}

void ignore(png_structp, png_const_charp) {}

// The structures of libpng, which it fills by jumping over destructors; these outlive the jump.
struct Decoder {
  std::string reason;
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reason, fail, ignore);
  png_infop info = png_create_info_struct(png);
  ~Decoder() { png_destroy_read_struct(&png, &info, nullptr); }
};

void fail_unless(bool fine, const std::string& reason) {
  if (!fine) throw PictureError(reason);
}

// What libpng reads: RGBA of 8 bits, or grey of 16 where the file has that.
struct Decoded {
  png_uint_32 width = 0, height = 0;
  bool deep = false;
  std::vector<png_byte> bytes;
  std::vector<png_bytep> rows;
};

// False where libpng gave up: then decoder.reason says why.
bool read_header(Decoder& decoder, std::FILE* file, Decoded& found) {
  if (setjmp(png_jmpbuf(decoder.png))) return false;
  png_structp png = decoder.png;
  png_init_io(png, file);
  png_read_info(png, decoder.info);
  found.width = png_get_image_width(png, decoder.info);
  found.height = png_get_image_height(png, decoder.info);
  const int color = png_get_color_type(png, decoder.info);
  found.deep = color == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(png, decoder.info) == 16;
  if (!found.deep) {
    png_set_strip_16(png);
    png_set_expand(png);
    png_set_gray_to_rgb(png);
    png_set_add_alpha(png, 255, PNG_FILLER_AFTER);
  }
  png_set_interlace_handling(png);
  png_read_update_info(png, decoder.info);
  return true;
}

bool read_rows(Decoder& decoder, Decoded& found) {
  if (setjmp(png_jmpbuf(decoder.png))) return false;
  png_read_image(decoder.png, found.rows.data());
  png_read_end(decoder.png, nullptr);
  return true;
}

Decoded decode(const std::string& path) {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  fail_unless(file != nullptr, "no such file");
  Decoder decoder;
  Decoded found;
  fail_unless(read_header(decoder, file.get(), found), "not a whole PNG file (" + decoder.reason + ")");
  fail_unless(static_cast<double>(found.width) * found.height <= kMostPixels,
              std::to_string(found.width) + " x " + std::to_string(found.height) +
                  " pixels are more than 64,000,000; scale it down");
  const std::size_t row = png_get_rowbytes(decoder.png, decoder.info);
  found.bytes.resize(row * found.height);
  for (std::size_t y = 0; y < found.height; ++y) found.rows.push_back(found.bytes.data() + y * row);
  fail_unless(read_rows(decoder, found), "damaged (" + decoder.reason + ")");
  return found;
}

// Over white, in the integers of Pillow's alpha_composite: 7 more bits, and divisions that round.
std::uint8_t over_white(unsigned level, unsigned alpha) {
  const unsigned share = alpha << 7;
  const unsigned sum = level * share + 255 * ((255 << 7) - share) + (0x80 << 7);
  return static_cast<std::uint8_t>(((sum >> 8) + sum) >> 8 >> 7);
}

// Grey by the shares of ITU-R 601, in 16 bits.
std::uint8_t luma(const std::uint8_t* rgb) {
  return static_cast<std::uint8_t>((rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 0x8000) >> 16);
}

Raster open_picture(const std::string& path, int channels) {
  const Decoded decoded = decode(path);
  Raster result(static_cast<int>(decoded.height), static_cast<int>(decoded.width), channels);
  for (int y = 0; y < result.height; ++y)
    for (int x = 0; x < result.width; ++x) {
      std::uint8_t rgb[3];
      if (decoded.deep) {
        const png_byte* two = decoded.rows[y] + 2 * x;
        const float level = static_cast<float>(two[0] << 8 | two[1]) / 65535.0f * 255.0f;
        std::fill_n(rgb, 3, static_cast<std::uint8_t>(level));
      } else {
        const png_byte* rgba = decoded.rows[y] + 4 * x;
        for (int i = 0; i < 3; ++i) rgb[i] = over_white(rgba[i], rgba[3]);
      }
      if (channels == 1)
        *result.at(y, x) = luma(rgb);
      else
        std::copy_n(rgb, 3, result.at(y, x));
    }
  return result;
}

int prepared_width(const Raster& raster, const Spec& spec) {
  if (!spec.keep_ratio) return spec.width;
  const double width = static_cast<double>(raster.width) * spec.height / raster.height;
  return std::min(std::max(static_cast<int>(std::nearbyint(width)), kLeastWidth), spec.width);
}

std::vector<float> numbers(const std::string& text) {
  std::istringstream stream(text);
  std::vector<float> found;
  for (double value; stream >> value;) found.push_back(static_cast<float>(value));
  return found;
}

}  // namespace

Spec spec_of(const std::unordered_map<std::string, std::string>& metadata) {
  const auto value = [&](const std::string& name) {
    const auto found = metadata.find("crnn." + name);
    if (found == metadata.end())
      throw std::runtime_error("not a package that export.py --format aoti wrote");
    return found->second;
  };
  return {std::stoi(value("height")),       std::stoi(value("width")),
          std::stoi(value("channels")),     numbers(value("mean")),
          numbers(value("std")),            value("keep_ratio") == "1",
          value("direction") == "vertical"};
}

Picture prepare(const std::string& path, const Spec& spec) {
  Raster raster = open_picture(path, spec.channels);
  if (spec.vertical) raster = turn(raster);
  raster = resize(raster, spec.height, prepared_width(raster, spec));
  Picture picture{raster.width, {}};
  for (int channel = 0; channel < spec.channels; ++channel) {
    const float scale = 1.0f / (255.0f * spec.std[channel]);
    const float shift = spec.mean[channel] / spec.std[channel];
    for (int y = 0; y < raster.height; ++y)
      for (int x = 0; x < raster.width; ++x)
        picture.levels.push_back(raster.at(y, x)[channel] * scale - shift);
  }
  return picture;
}
