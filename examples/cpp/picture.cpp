#include "picture.hpp"

#include <png.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <sstream>

#include "exif.hpp"
#include "resize.hpp"

namespace {

constexpr double kMaxPixels = 64e6;
constexpr int kMinWidth = 8;

[[noreturn]] void fail(png_structp png, png_const_charp reason) {
  *static_cast<std::string*>(png_get_error_ptr(png)) = reason;
  std::longjmp(png_jmpbuf(png), 1);
}

void ignore(png_structp, png_const_charp) {}

// The structures of libpng, which it fills by jumping over destructors; these outlive the jump.
struct Decoder {
  std::string reason;
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reason, fail, ignore);
  png_infop info = png ? png_create_info_struct(png) : nullptr;
  Decoder() {
    if (!info) throw PictureError("libpng has no memory, or is of another release");
  }
  ~Decoder() { png_destroy_read_struct(&png, &info, nullptr); }
};

// What libpng reads: RGBA of 8 bits, or grey of 16 where the file has that.
struct Decoded {
  png_uint_32 width = 0, height = 0;
  bool deep = false;
  std::optional<png_color_16> clear;  // the one colour that is transparent, as Pillow compares it
  int orientation = 1;
  std::vector<png_byte> bytes;
  std::vector<png_bytep> rows;
};

// Pillow 13 compares with pixels of 8 bits, whatever the file has, and takes the low byte.
png_color_16 as_pillow_has_it(png_color_16 clear, int depth) {
  if (depth == 1) clear.gray = clear.gray ? 255 : 0;
  for (png_uint_16* value : {&clear.red, &clear.green, &clear.blue, &clear.gray}) *value &= 0xFF;
  return clear;
}

// False where libpng gave up: then decoder.reason says why.
bool read_header(Decoder& decoder, std::FILE* file, Decoded& found) {
  if (setjmp(png_jmpbuf(decoder.png))) return false;
  png_structp png = decoder.png;
  constexpr auto kAnySide = std::numeric_limits<std::int32_t>::max();
  png_set_user_limits(png, kAnySide, kAnySide);
  png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  png_init_io(png, file);
  png_read_info(png, decoder.info);
  found.width = png_get_image_width(png, decoder.info);
  found.height = png_get_image_height(png, decoder.info);
  const int color = png_get_color_type(png, decoder.info);
  const int depth = png_get_bit_depth(png, decoder.info);
  found.deep = color == PNG_COLOR_TYPE_GRAY && depth == 16;
  if (!found.deep) {
    png_color_16p clear = nullptr;
    if (color == PNG_COLOR_TYPE_PALETTE)
      png_set_palette_to_rgb(png);  // and its transparency to alpha
    else if (png_get_tRNS(png, decoder.info, nullptr, nullptr, &clear) && clear)
      found.clear = as_pillow_has_it(*clear, depth);
    if (color == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(png);
    png_set_strip_16(png);
    png_set_gray_to_rgb(png);
    png_set_add_alpha(png, 255, PNG_FILLER_AFTER);
    if (found.clear && color == PNG_COLOR_TYPE_GRAY)
      found.clear->red = found.clear->green = found.clear->blue = found.clear->gray;
  }
  png_set_interlace_handling(png);
  png_read_update_info(png, decoder.info);
  return true;
}

bool read_rows(Decoder& decoder, Decoded& found) {
  if (setjmp(png_jmpbuf(decoder.png))) return false;
  png_read_image(decoder.png, found.rows.data());
  png_read_end(decoder.png, decoder.info);  // EXIF may stand behind the pixels
  png_uint_32 size = 0;
  png_bytep exif = nullptr;
  if (png_get_eXIf_1(decoder.png, decoder.info, &size, &exif))
    found.orientation = orientation_of(exif, size);
  return true;
}

Decoded decode(const std::string& path) {
  if (std::filesystem::is_directory(path)) throw PictureError("it is a folder");
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!file) throw PictureError(errno == ENOENT ? "no such file" : std::strerror(errno));
  Decoder decoder;
  Decoded found;
  if (!read_header(decoder, file.get(), found))
    throw PictureError("not a whole PNG file (" + decoder.reason + ")");
  if (static_cast<double>(found.width) * found.height > kMaxPixels)
    throw PictureError(std::to_string(found.width) + " x " + std::to_string(found.height) +
                       " pixels are more than 64,000,000; scale it down");
  const std::size_t row = png_get_rowbytes(decoder.png, decoder.info);
  found.bytes.resize(row * found.height);
  for (std::size_t y = 0; y < found.height; ++y) found.rows.push_back(found.bytes.data() + y * row);
  if (!read_rows(decoder, found)) throw PictureError("damaged (" + decoder.reason + ")");
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
        const auto& clear = decoded.clear;
        const bool gone = clear && rgba[0] == clear->red && rgba[1] == clear->green &&
                          rgba[2] == clear->blue;
        for (int i = 0; i < 3; ++i) rgb[i] = over_white(rgba[i], gone ? 0 : rgba[3]);
      }
      if (channels == 1)
        *result.at(y, x) = luma(rgb);
      else
        std::copy_n(rgb, 3, result.at(y, x));
    }
  return decoded.orientation == 1 ? result : upright(result, decoded.orientation);
}

int prepared_width(const Raster& raster, const Spec& spec) {
  if (!spec.keep_ratio) return spec.width;
  const double width = static_cast<double>(raster.width) * spec.height / raster.height;
  return std::min(std::max(static_cast<int>(std::nearbyint(width)), kMinWidth), spec.width);
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
  const auto number = [&](const std::string& name) { return std::atoi(value(name).c_str()); };
  const Spec spec{number("height"),        number("width"),
                  number("channels"),      numbers(value("mean")),
                  numbers(value("std")),   value("keep_ratio") == "1",
                  value("direction") == "vertical"};
  const auto each = static_cast<std::size_t>(spec.channels);
  if (spec.height < 1 || spec.width < kMinWidth || (spec.channels != 1 && spec.channels != 3) ||
      spec.means.size() != each || spec.deviations.size() != each ||
      std::count(spec.deviations.begin(), spec.deviations.end(), 0.0f))
    throw std::runtime_error("what it says of its pictures makes no sense; export it anew");
  return spec;
}

Picture prepare(const std::string& path, const Spec& spec) {
  Raster raster = open_picture(path, spec.channels);
  if (spec.vertical) raster = rotate90(raster);
  raster = resize(raster, spec.height, prepared_width(raster, spec));
  Picture picture{raster.width, {}};
  for (int channel = 0; channel < spec.channels; ++channel) {
    const float scale = 1.0f / (255.0f * spec.deviations[channel]);
    const float shift = spec.means[channel] / spec.deviations[channel];
    for (int y = 0; y < raster.height; ++y)
      for (int x = 0; x < raster.width; ++x)
        picture.levels.push_back(raster.at(y, x)[channel] * scale - shift);
  }
  return picture;
}
