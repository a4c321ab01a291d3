module

import AsicReservoir.Energy
import AsicReservoir.Frames
import AsicReservoir.Handshake
import AsicReservoir.Lease
import AsicReservoir.Predictability

/-! Written by `python -m lean.vectors` from the Python that runs; not by hand. -/

namespace Vectors.Frames

open _root_.Frames

example : crc5 (bits []) = 0x1f#5 := by decide +kernel
example : crc16 (bits []) = 0xffff#16 := by decide +kernel
example : crc5 (bits [0x00#8]) = 0x0f#5 := by decide +kernel
example : crc16 (bits [0x00#8]) = 0xe1f0#16 := by decide +kernel
example : crc5 (bits [0x31#8, 0x32#8, 0x33#8, 0x34#8, 0x35#8, 0x36#8, 0x37#8, 0x38#8, 0x39#8]) = 0x0f#5 := by decide +kernel
example : crc16 (bits [0x31#8, 0x32#8, 0x33#8, 0x34#8, 0x35#8, 0x36#8, 0x37#8, 0x38#8, 0x39#8]) = 0x29b1#16 := by decide +kernel
example : crc5 (bits [0x52#8, 0x05#8, 0x00#8, 0x00#8]) = 0x0a#5 := by decide +kernel
example : crc16 (bits [0x52#8, 0x05#8, 0x00#8, 0x00#8]) = 0xf763#16 := by decide +kernel
example : crc5 (bits [0x51#8, 0x09#8, 0x00#8, 0x10#8, 0x00#8, 0x0d#8, 0x32#8, 0x24#8]) = 0x10#5 := by decide +kernel
example : crc16 (bits [0x51#8, 0x09#8, 0x00#8, 0x10#8, 0x00#8, 0x0d#8, 0x32#8, 0x24#8]) = 0xd75f#16 := by decide +kernel
example : crc5 (bits [0xb2#8]) = 0x00#5 := by decide +kernel
example : crc16 (bits [0xb2#8]) = 0x6669#16 := by decide +kernel
example : crc5 (bits [0x6c#8, 0xdc#8]) = 0x0a#5 := by decide +kernel
example : crc16 (bits [0x6c#8, 0xdc#8]) = 0x59b9#16 := by decide +kernel
example : crc5 (bits [0x70#8, 0x68#8, 0x19#8]) = 0x04#5 := by decide +kernel
example : crc16 (bits [0x70#8, 0x68#8, 0x19#8]) = 0x150f#16 := by decide +kernel
example : crc5 (bits [0x77#8, 0xf6#8, 0x6b#8, 0x37#8, 0x27#8]) = 0x14#5 := by decide +kernel
example : crc16 (bits [0x77#8, 0xf6#8, 0x6b#8, 0x37#8, 0x27#8]) = 0x7097#16 := by decide +kernel
example : crc5 (bits [0xbd#8, 0x3a#8, 0xa9#8, 0xc6#8, 0x00#8, 0x6b#8, 0x87#8, 0x4e#8]) = 0x0d#5 := by decide +kernel
example : crc16 (bits [0xbd#8, 0x3a#8, 0xa9#8, 0xc6#8, 0x00#8, 0x6b#8, 0x87#8, 0x4e#8]) = 0x61ac#16 := by decide +kernel
example : crc5 (bits [0x66#8, 0x85#8, 0x1a#8, 0x15#8, 0x2d#8, 0x54#8, 0x62#8, 0x82#8, 0x9b#8, 0xf0#8, 0x3c#8, 0xd6#8, 0x8c#8]) = 0x0c#5 := by decide +kernel
example : crc16 (bits [0x66#8, 0x85#8, 0x1a#8, 0x15#8, 0x2d#8, 0x54#8, 0x62#8, 0x82#8, 0x9b#8, 0xf0#8, 0x3c#8, 0xd6#8, 0x8c#8]) = 0xce1f#16 := by decide +kernel
example : crc5 (bits [0xb0#8, 0x07#8, 0xf0#8, 0xb2#8, 0x63#8, 0xcf#8, 0xc0#8, 0x2b#8, 0xa4#8, 0x22#8, 0xf7#8, 0xfe#8, 0x6a#8, 0x6b#8, 0x08#8, 0xb9#8, 0x6d#8, 0x62#8, 0x9c#8, 0x25#8, 0xd6#8, 0x31#8, 0xda#8, 0xdc#8, 0x1d#8, 0x0b#8, 0x84#8, 0x0a#8, 0x40#8, 0xb4#8, 0x1f#8, 0xbc#8, 0x00#8, 0xfa#8]) = 0x1d#5 := by decide +kernel
example : crc16 (bits [0xb0#8, 0x07#8, 0xf0#8, 0xb2#8, 0x63#8, 0xcf#8, 0xc0#8, 0x2b#8, 0xa4#8, 0x22#8, 0xf7#8, 0xfe#8, 0x6a#8, 0x6b#8, 0x08#8, 0xb9#8, 0x6d#8, 0x62#8, 0x9c#8, 0x25#8, 0xd6#8, 0x31#8, 0xda#8, 0xdc#8, 0x1d#8, 0x0b#8, 0x84#8, 0x0a#8, 0x40#8, 0xb4#8, 0x1f#8, 0xbc#8, 0x00#8, 0xfa#8]) = 0xce48#16 := by decide +kernel
example : crc5 (bits [0x51#8, 0x73#8, 0x72#8, 0x48#8, 0x91#8, 0xe9#8, 0x14#8, 0x96#8, 0xa3#8, 0x5b#8, 0x2a#8, 0xc4#8, 0xe4#8, 0xf3#8, 0xa1#8, 0x9a#8, 0x8d#8, 0xf2#8, 0x95#8, 0x1e#8, 0xf1#8, 0x55#8, 0x06#8, 0xd9#8, 0x95#8, 0x3f#8, 0xc1#8, 0xe8#8, 0xe2#8, 0x60#8, 0x6e#8, 0xc6#8, 0x5b#8, 0xab#8, 0x70#8, 0xc7#8, 0x87#8, 0xf5#8, 0x6f#8, 0xd9#8, 0x49#8, 0x3f#8, 0xc4#8, 0xd6#8, 0xc7#8, 0xf1#8, 0x2a#8, 0xae#8, 0x28#8, 0x85#8, 0x82#8, 0x99#8, 0x98#8, 0xe2#8, 0xc2#8, 0xea#8, 0x63#8, 0x82#8, 0xa6#8, 0xfe#8, 0x04#8, 0xf0#8, 0xdf#8, 0x3d#8, 0xc0#8, 0x0a#8, 0x4b#8, 0xd7#8, 0x87#8, 0xff#8, 0x07#8, 0x3b#8, 0x57#8, 0x2f#8, 0x9d#8, 0x30#8, 0xeb#8, 0x26#8, 0xc0#8, 0x5c#8, 0x9d#8, 0xd5#8, 0xf4#8, 0xff#8]) = 0x10#5 := by decide +kernel
example : crc16 (bits [0x51#8, 0x73#8, 0x72#8, 0x48#8, 0x91#8, 0xe9#8, 0x14#8, 0x96#8, 0xa3#8, 0x5b#8, 0x2a#8, 0xc4#8, 0xe4#8, 0xf3#8, 0xa1#8, 0x9a#8, 0x8d#8, 0xf2#8, 0x95#8, 0x1e#8, 0xf1#8, 0x55#8, 0x06#8, 0xd9#8, 0x95#8, 0x3f#8, 0xc1#8, 0xe8#8, 0xe2#8, 0x60#8, 0x6e#8, 0xc6#8, 0x5b#8, 0xab#8, 0x70#8, 0xc7#8, 0x87#8, 0xf5#8, 0x6f#8, 0xd9#8, 0x49#8, 0x3f#8, 0xc4#8, 0xd6#8, 0xc7#8, 0xf1#8, 0x2a#8, 0xae#8, 0x28#8, 0x85#8, 0x82#8, 0x99#8, 0x98#8, 0xe2#8, 0xc2#8, 0xea#8, 0x63#8, 0x82#8, 0xa6#8, 0xfe#8, 0x04#8, 0xf0#8, 0xdf#8, 0x3d#8, 0xc0#8, 0x0a#8, 0x4b#8, 0xd7#8, 0x87#8, 0xff#8, 0x07#8, 0x3b#8, 0x57#8, 0x2f#8, 0x9d#8, 0x30#8, 0xeb#8, 0x26#8, 0xc0#8, 0x5c#8, 0x9d#8, 0xd5#8, 0xf4#8, 0xff#8]) = 0x8799#16 := by decide +kernel
example : crc5 (bits [0x13#8, 0x66#8, 0x00#8, 0x00#8, 0x00#8, 0x00#8, 0x00#8, 0x00#8] ++ [false, false, false]) = 0x05#5 := by decide +kernel
example : crc5 (bits [0x6a#8, 0xed#8, 0xdd#8, 0x38#8, 0x85#8, 0xae#8, 0x31#8, 0x71#8] ++ [true, false, false]) = 0x01#5 := by decide +kernel
example : encode (.setAddress 0x00#8) = [0x55#8, 0xaa#8, 0x40#8, 0x05#8, 0x00#8, 0x00#8, 0x1c#8] := by decide +kernel
example : encode (.setAddress 0xdc#8) = [0x55#8, 0xaa#8, 0x40#8, 0x05#8, 0xdc#8, 0x00#8, 0x01#8] := by decide +kernel
example : encode (.chainInactive) = [0x55#8, 0xaa#8, 0x53#8, 0x05#8, 0x00#8, 0x00#8, 0x03#8] := by decide +kernel
example : encode (.readAll 0x00#8) = [0x55#8, 0xaa#8, 0x52#8, 0x05#8, 0x00#8, 0x00#8, 0x0a#8] := by decide +kernel
example : encode (.readOne 0x40#8 0x1c#8) = [0x55#8, 0xaa#8, 0x42#8, 0x05#8, 0x40#8, 0x1c#8, 0x0b#8] := by decide +kernel
example : encode (.writeAll 0xa4#8 0x90#8 0x00#8 0xff#8 0xff#8) = [0x55#8, 0xaa#8, 0x51#8, 0x09#8, 0x00#8, 0xa4#8, 0x90#8, 0x00#8, 0xff#8, 0xff#8, 0x1c#8] := by decide +kernel
example : encode (.writeOne 0x80#8 0x3c#8 0x80#8 0x00#8 0x82#8 0xaa#8) = [0x55#8, 0xaa#8, 0x41#8, 0x09#8, 0x80#8, 0x3c#8, 0x80#8, 0x00#8, 0x82#8, 0xaa#8, 0x1d#8] := by decide +kernel
example : encode (.writeAll 0x10#8 0x00#8 0x0d#8 0x32#8 0x24#8) = [0x55#8, 0xaa#8, 0x51#8, 0x09#8, 0x00#8, 0x10#8, 0x00#8, 0x0d#8, 0x32#8, 0x24#8, 0x10#8] := by decide +kernel
example : encode (.writeOne 0x86#8 0x31#8 0xbb#8 0x10#8 0x7d#8 0xd1#8) = [0x55#8, 0xaa#8, 0x41#8, 0x09#8, 0x86#8, 0x31#8, 0xbb#8, 0x10#8, 0x7d#8, 0xd1#8, 0x19#8] := by decide +kernel
example : encode (.writeOne 0xd5#8 0xf1#8 0x13#8 0x00#8 0x65#8 0x29#8) = [0x55#8, 0xaa#8, 0x41#8, 0x09#8, 0xd5#8, 0xf1#8, 0x13#8, 0x00#8, 0x65#8, 0x29#8, 0x17#8] := by decide +kernel
example : encode (.writeOne 0x2d#8 0x1f#8 0x0d#8 0x7b#8 0x8f#8 0x33#8) = [0x55#8, 0xaa#8, 0x41#8, 0x09#8, 0x2d#8, 0x1f#8, 0x0d#8, 0x7b#8, 0x8f#8, 0x33#8, 0x12#8] := by decide +kernel
example : encode (.writeOne 0x6b#8 0xba#8 0x7d#8 0x38#8 0x2a#8 0x15#8) = [0x55#8, 0xaa#8, 0x41#8, 0x09#8, 0x6b#8, 0xba#8, 0x7d#8, 0x38#8, 0x2a#8, 0x15#8, 0x1f#8] := by decide +kernel

end Vectors.Frames

namespace Vectors.Energy

open _root_.Energy

example : savings 64 5 (1 / 1 : Rat) = (0 / 1 : Rat) := by decide +kernel
example : cost (5 / 64 : Rat) (1 / 1 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (5 / 64 : Rat) (1 / 1 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (5 / 64 : Rat) (1 / 1 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : roundsPerHit (9 / 10 : Rat) (5 / 64 : Rat) (1 / 1 : Rat) = (10 / 9 : Rat) := by decide +kernel
example : gain (9 / 10 : Rat) (5 / 64 : Rat) (1 / 1 : Rat) = (9 / 10 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (5 / 64 : Rat) (1 / 1 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (5 / 64 : Rat) (1 / 1 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : savings 64 5 (1 / 2 : Rat) = (59 / 128 : Rat) := by decide +kernel
example : cost (5 / 64 : Rat) (1 / 2 : Rat) = (69 / 128 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (5 / 64 : Rat) (1 / 2 : Rat) = (69 / 128 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (5 / 64 : Rat) (1 / 2 : Rat) = (128 / 69 : Rat) := by decide +kernel
example : roundsPerHit (9 / 10 : Rat) (5 / 64 : Rat) (1 / 2 : Rat) = (115 / 192 : Rat) := by decide +kernel
example : gain (9 / 10 : Rat) (5 / 64 : Rat) (1 / 2 : Rat) = (192 / 115 : Rat) := by decide +kernel
example : roundsPerHit (1 / 2 : Rat) (5 / 64 : Rat) (1 / 2 : Rat) = (69 / 64 : Rat) := by decide +kernel
example : gain (1 / 2 : Rat) (5 / 64 : Rat) (1 / 2 : Rat) = (64 / 69 : Rat) := by decide +kernel
example : savings 64 5 (1 / 4 : Rat) = (177 / 256 : Rat) := by decide +kernel
example : cost (5 / 64 : Rat) (1 / 4 : Rat) = (79 / 256 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (5 / 64 : Rat) (1 / 4 : Rat) = (79 / 256 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (5 / 64 : Rat) (1 / 4 : Rat) = (256 / 79 : Rat) := by decide +kernel
example : roundsPerHit (9 / 10 : Rat) (5 / 64 : Rat) (1 / 4 : Rat) = (395 / 1152 : Rat) := by decide +kernel
example : gain (9 / 10 : Rat) (5 / 64 : Rat) (1 / 4 : Rat) = (1152 / 395 : Rat) := by decide +kernel
example : roundsPerHit (1 / 4 : Rat) (5 / 64 : Rat) (1 / 4 : Rat) = (79 / 64 : Rat) := by decide +kernel
example : gain (1 / 4 : Rat) (5 / 64 : Rat) (1 / 4 : Rat) = (64 / 79 : Rat) := by decide +kernel
example : savings 64 5 (1 / 10 : Rat) = (531 / 640 : Rat) := by decide +kernel
example : cost (5 / 64 : Rat) (1 / 10 : Rat) = (109 / 640 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (5 / 64 : Rat) (1 / 10 : Rat) = (109 / 640 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (5 / 64 : Rat) (1 / 10 : Rat) = (640 / 109 : Rat) := by decide +kernel
example : roundsPerHit (9 / 10 : Rat) (5 / 64 : Rat) (1 / 10 : Rat) = (109 / 576 : Rat) := by decide +kernel
example : gain (9 / 10 : Rat) (5 / 64 : Rat) (1 / 10 : Rat) = (576 / 109 : Rat) := by decide +kernel
example : roundsPerHit (1 / 10 : Rat) (5 / 64 : Rat) (1 / 10 : Rat) = (109 / 64 : Rat) := by decide +kernel
example : gain (1 / 10 : Rat) (5 / 64 : Rat) (1 / 10 : Rat) = (64 / 109 : Rat) := by decide +kernel
example : savings 64 5 (1 / 20 : Rat) = (1121 / 1280 : Rat) := by decide +kernel
example : cost (5 / 64 : Rat) (1 / 20 : Rat) = (159 / 1280 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (5 / 64 : Rat) (1 / 20 : Rat) = (159 / 1280 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (5 / 64 : Rat) (1 / 20 : Rat) = (1280 / 159 : Rat) := by decide +kernel
example : roundsPerHit (9 / 10 : Rat) (5 / 64 : Rat) (1 / 20 : Rat) = (53 / 384 : Rat) := by decide +kernel
example : gain (9 / 10 : Rat) (5 / 64 : Rat) (1 / 20 : Rat) = (384 / 53 : Rat) := by decide +kernel
example : roundsPerHit (1 / 20 : Rat) (5 / 64 : Rat) (1 / 20 : Rat) = (159 / 64 : Rat) := by decide +kernel
example : gain (1 / 20 : Rat) (5 / 64 : Rat) (1 / 20 : Rat) = (64 / 159 : Rat) := by decide +kernel
example : savings 64 5 (1 / 100 : Rat) = (5841 / 6400 : Rat) := by decide +kernel
example : cost (5 / 64 : Rat) (1 / 100 : Rat) = (559 / 6400 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (5 / 64 : Rat) (1 / 100 : Rat) = (559 / 6400 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (5 / 64 : Rat) (1 / 100 : Rat) = (6400 / 559 : Rat) := by decide +kernel
example : roundsPerHit (9 / 10 : Rat) (5 / 64 : Rat) (1 / 100 : Rat) = (559 / 5760 : Rat) := by decide +kernel
example : gain (9 / 10 : Rat) (5 / 64 : Rat) (1 / 100 : Rat) = (5760 / 559 : Rat) := by decide +kernel
example : roundsPerHit (1 / 100 : Rat) (5 / 64 : Rat) (1 / 100 : Rat) = (559 / 64 : Rat) := by decide +kernel
example : gain (1 / 100 : Rat) (5 / 64 : Rat) (1 / 100 : Rat) = (64 / 559 : Rat) := by decide +kernel
example : savings 64 5 (0 / 1 : Rat) = (59 / 64 : Rat) := by decide +kernel
example : cost (5 / 64 : Rat) (0 / 1 : Rat) = (5 / 64 : Rat) := by decide +kernel
example : savings 128 5 (1 / 1 : Rat) = (0 / 1 : Rat) := by decide +kernel
example : cost (5 / 128 : Rat) (1 / 1 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (5 / 128 : Rat) (1 / 1 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (5 / 128 : Rat) (1 / 1 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : roundsPerHit (9 / 10 : Rat) (5 / 128 : Rat) (1 / 1 : Rat) = (10 / 9 : Rat) := by decide +kernel
example : gain (9 / 10 : Rat) (5 / 128 : Rat) (1 / 1 : Rat) = (9 / 10 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (5 / 128 : Rat) (1 / 1 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (5 / 128 : Rat) (1 / 1 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : savings 128 5 (1 / 2 : Rat) = (123 / 256 : Rat) := by decide +kernel
example : cost (5 / 128 : Rat) (1 / 2 : Rat) = (133 / 256 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (5 / 128 : Rat) (1 / 2 : Rat) = (133 / 256 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (5 / 128 : Rat) (1 / 2 : Rat) = (256 / 133 : Rat) := by decide +kernel
example : roundsPerHit (9 / 10 : Rat) (5 / 128 : Rat) (1 / 2 : Rat) = (665 / 1152 : Rat) := by decide +kernel
example : gain (9 / 10 : Rat) (5 / 128 : Rat) (1 / 2 : Rat) = (1152 / 665 : Rat) := by decide +kernel
example : roundsPerHit (1 / 2 : Rat) (5 / 128 : Rat) (1 / 2 : Rat) = (133 / 128 : Rat) := by decide +kernel
example : gain (1 / 2 : Rat) (5 / 128 : Rat) (1 / 2 : Rat) = (128 / 133 : Rat) := by decide +kernel
example : savings 128 5 (1 / 4 : Rat) = (369 / 512 : Rat) := by decide +kernel
example : cost (5 / 128 : Rat) (1 / 4 : Rat) = (143 / 512 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (5 / 128 : Rat) (1 / 4 : Rat) = (143 / 512 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (5 / 128 : Rat) (1 / 4 : Rat) = (512 / 143 : Rat) := by decide +kernel
example : roundsPerHit (9 / 10 : Rat) (5 / 128 : Rat) (1 / 4 : Rat) = (715 / 2304 : Rat) := by decide +kernel
example : gain (9 / 10 : Rat) (5 / 128 : Rat) (1 / 4 : Rat) = (2304 / 715 : Rat) := by decide +kernel
example : roundsPerHit (1 / 4 : Rat) (5 / 128 : Rat) (1 / 4 : Rat) = (143 / 128 : Rat) := by decide +kernel
example : gain (1 / 4 : Rat) (5 / 128 : Rat) (1 / 4 : Rat) = (128 / 143 : Rat) := by decide +kernel
example : savings 128 5 (1 / 10 : Rat) = (1107 / 1280 : Rat) := by decide +kernel
example : cost (5 / 128 : Rat) (1 / 10 : Rat) = (173 / 1280 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (5 / 128 : Rat) (1 / 10 : Rat) = (173 / 1280 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (5 / 128 : Rat) (1 / 10 : Rat) = (1280 / 173 : Rat) := by decide +kernel
example : roundsPerHit (9 / 10 : Rat) (5 / 128 : Rat) (1 / 10 : Rat) = (173 / 1152 : Rat) := by decide +kernel
example : gain (9 / 10 : Rat) (5 / 128 : Rat) (1 / 10 : Rat) = (1152 / 173 : Rat) := by decide +kernel
example : roundsPerHit (1 / 10 : Rat) (5 / 128 : Rat) (1 / 10 : Rat) = (173 / 128 : Rat) := by decide +kernel
example : gain (1 / 10 : Rat) (5 / 128 : Rat) (1 / 10 : Rat) = (128 / 173 : Rat) := by decide +kernel
example : savings 128 5 (1 / 20 : Rat) = (2337 / 2560 : Rat) := by decide +kernel
example : cost (5 / 128 : Rat) (1 / 20 : Rat) = (223 / 2560 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (5 / 128 : Rat) (1 / 20 : Rat) = (223 / 2560 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (5 / 128 : Rat) (1 / 20 : Rat) = (2560 / 223 : Rat) := by decide +kernel
example : roundsPerHit (9 / 10 : Rat) (5 / 128 : Rat) (1 / 20 : Rat) = (223 / 2304 : Rat) := by decide +kernel
example : gain (9 / 10 : Rat) (5 / 128 : Rat) (1 / 20 : Rat) = (2304 / 223 : Rat) := by decide +kernel
example : roundsPerHit (1 / 20 : Rat) (5 / 128 : Rat) (1 / 20 : Rat) = (223 / 128 : Rat) := by decide +kernel
example : gain (1 / 20 : Rat) (5 / 128 : Rat) (1 / 20 : Rat) = (128 / 223 : Rat) := by decide +kernel
example : savings 128 5 (1 / 100 : Rat) = (12177 / 12800 : Rat) := by decide +kernel
example : cost (5 / 128 : Rat) (1 / 100 : Rat) = (623 / 12800 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (5 / 128 : Rat) (1 / 100 : Rat) = (623 / 12800 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (5 / 128 : Rat) (1 / 100 : Rat) = (12800 / 623 : Rat) := by decide +kernel
example : roundsPerHit (9 / 10 : Rat) (5 / 128 : Rat) (1 / 100 : Rat) = (623 / 11520 : Rat) := by decide +kernel
example : gain (9 / 10 : Rat) (5 / 128 : Rat) (1 / 100 : Rat) = (11520 / 623 : Rat) := by decide +kernel
example : roundsPerHit (1 / 100 : Rat) (5 / 128 : Rat) (1 / 100 : Rat) = (623 / 128 : Rat) := by decide +kernel
example : gain (1 / 100 : Rat) (5 / 128 : Rat) (1 / 100 : Rat) = (128 / 623 : Rat) := by decide +kernel
example : savings 128 5 (0 / 1 : Rat) = (123 / 128 : Rat) := by decide +kernel
example : cost (5 / 128 : Rat) (0 / 1 : Rat) = (5 / 128 : Rat) := by decide +kernel
example : savings 64 0 (1 / 1 : Rat) = (0 / 1 : Rat) := by decide +kernel
example : cost (0 / 1 : Rat) (1 / 1 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (0 / 1 : Rat) (1 / 1 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (0 / 1 : Rat) (1 / 1 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : roundsPerHit (9 / 10 : Rat) (0 / 1 : Rat) (1 / 1 : Rat) = (10 / 9 : Rat) := by decide +kernel
example : gain (9 / 10 : Rat) (0 / 1 : Rat) (1 / 1 : Rat) = (9 / 10 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (0 / 1 : Rat) (1 / 1 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (0 / 1 : Rat) (1 / 1 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : savings 64 0 (1 / 2 : Rat) = (1 / 2 : Rat) := by decide +kernel
example : cost (0 / 1 : Rat) (1 / 2 : Rat) = (1 / 2 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (0 / 1 : Rat) (1 / 2 : Rat) = (1 / 2 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (0 / 1 : Rat) (1 / 2 : Rat) = (2 / 1 : Rat) := by decide +kernel
example : roundsPerHit (9 / 10 : Rat) (0 / 1 : Rat) (1 / 2 : Rat) = (5 / 9 : Rat) := by decide +kernel
example : gain (9 / 10 : Rat) (0 / 1 : Rat) (1 / 2 : Rat) = (9 / 5 : Rat) := by decide +kernel
example : roundsPerHit (1 / 2 : Rat) (0 / 1 : Rat) (1 / 2 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : gain (1 / 2 : Rat) (0 / 1 : Rat) (1 / 2 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : savings 64 0 (1 / 4 : Rat) = (3 / 4 : Rat) := by decide +kernel
example : cost (0 / 1 : Rat) (1 / 4 : Rat) = (1 / 4 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (0 / 1 : Rat) (1 / 4 : Rat) = (1 / 4 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (0 / 1 : Rat) (1 / 4 : Rat) = (4 / 1 : Rat) := by decide +kernel
example : roundsPerHit (9 / 10 : Rat) (0 / 1 : Rat) (1 / 4 : Rat) = (5 / 18 : Rat) := by decide +kernel
example : gain (9 / 10 : Rat) (0 / 1 : Rat) (1 / 4 : Rat) = (18 / 5 : Rat) := by decide +kernel
example : roundsPerHit (1 / 4 : Rat) (0 / 1 : Rat) (1 / 4 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : gain (1 / 4 : Rat) (0 / 1 : Rat) (1 / 4 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : savings 64 0 (1 / 10 : Rat) = (9 / 10 : Rat) := by decide +kernel
example : cost (0 / 1 : Rat) (1 / 10 : Rat) = (1 / 10 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (0 / 1 : Rat) (1 / 10 : Rat) = (1 / 10 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (0 / 1 : Rat) (1 / 10 : Rat) = (10 / 1 : Rat) := by decide +kernel
example : roundsPerHit (9 / 10 : Rat) (0 / 1 : Rat) (1 / 10 : Rat) = (1 / 9 : Rat) := by decide +kernel
example : gain (9 / 10 : Rat) (0 / 1 : Rat) (1 / 10 : Rat) = (9 / 1 : Rat) := by decide +kernel
example : roundsPerHit (1 / 10 : Rat) (0 / 1 : Rat) (1 / 10 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : gain (1 / 10 : Rat) (0 / 1 : Rat) (1 / 10 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : savings 64 0 (1 / 20 : Rat) = (19 / 20 : Rat) := by decide +kernel
example : cost (0 / 1 : Rat) (1 / 20 : Rat) = (1 / 20 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (0 / 1 : Rat) (1 / 20 : Rat) = (1 / 20 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (0 / 1 : Rat) (1 / 20 : Rat) = (20 / 1 : Rat) := by decide +kernel
example : roundsPerHit (9 / 10 : Rat) (0 / 1 : Rat) (1 / 20 : Rat) = (1 / 18 : Rat) := by decide +kernel
example : gain (9 / 10 : Rat) (0 / 1 : Rat) (1 / 20 : Rat) = (18 / 1 : Rat) := by decide +kernel
example : roundsPerHit (1 / 20 : Rat) (0 / 1 : Rat) (1 / 20 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : gain (1 / 20 : Rat) (0 / 1 : Rat) (1 / 20 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : savings 64 0 (1 / 100 : Rat) = (99 / 100 : Rat) := by decide +kernel
example : cost (0 / 1 : Rat) (1 / 100 : Rat) = (1 / 100 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (0 / 1 : Rat) (1 / 100 : Rat) = (1 / 100 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (0 / 1 : Rat) (1 / 100 : Rat) = (100 / 1 : Rat) := by decide +kernel
example : roundsPerHit (9 / 10 : Rat) (0 / 1 : Rat) (1 / 100 : Rat) = (1 / 90 : Rat) := by decide +kernel
example : gain (9 / 10 : Rat) (0 / 1 : Rat) (1 / 100 : Rat) = (90 / 1 : Rat) := by decide +kernel
example : roundsPerHit (1 / 100 : Rat) (0 / 1 : Rat) (1 / 100 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : gain (1 / 100 : Rat) (0 / 1 : Rat) (1 / 100 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : savings 64 0 (0 / 1 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : cost (0 / 1 : Rat) (0 / 1 : Rat) = (0 / 1 : Rat) := by decide +kernel
example : savings 128 125 (1 / 1 : Rat) = (0 / 1 : Rat) := by decide +kernel
example : cost (125 / 128 : Rat) (1 / 1 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (125 / 128 : Rat) (1 / 1 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (125 / 128 : Rat) (1 / 1 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : roundsPerHit (9 / 10 : Rat) (125 / 128 : Rat) (1 / 1 : Rat) = (10 / 9 : Rat) := by decide +kernel
example : gain (9 / 10 : Rat) (125 / 128 : Rat) (1 / 1 : Rat) = (9 / 10 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (125 / 128 : Rat) (1 / 1 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (125 / 128 : Rat) (1 / 1 : Rat) = (1 / 1 : Rat) := by decide +kernel
example : savings 128 125 (1 / 2 : Rat) = (3 / 256 : Rat) := by decide +kernel
example : cost (125 / 128 : Rat) (1 / 2 : Rat) = (253 / 256 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (125 / 128 : Rat) (1 / 2 : Rat) = (253 / 256 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (125 / 128 : Rat) (1 / 2 : Rat) = (256 / 253 : Rat) := by decide +kernel
example : roundsPerHit (9 / 10 : Rat) (125 / 128 : Rat) (1 / 2 : Rat) = (1265 / 1152 : Rat) := by decide +kernel
example : gain (9 / 10 : Rat) (125 / 128 : Rat) (1 / 2 : Rat) = (1152 / 1265 : Rat) := by decide +kernel
example : roundsPerHit (1 / 2 : Rat) (125 / 128 : Rat) (1 / 2 : Rat) = (253 / 128 : Rat) := by decide +kernel
example : gain (1 / 2 : Rat) (125 / 128 : Rat) (1 / 2 : Rat) = (128 / 253 : Rat) := by decide +kernel
example : savings 128 125 (1 / 4 : Rat) = (9 / 512 : Rat) := by decide +kernel
example : cost (125 / 128 : Rat) (1 / 4 : Rat) = (503 / 512 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (125 / 128 : Rat) (1 / 4 : Rat) = (503 / 512 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (125 / 128 : Rat) (1 / 4 : Rat) = (512 / 503 : Rat) := by decide +kernel
example : roundsPerHit (9 / 10 : Rat) (125 / 128 : Rat) (1 / 4 : Rat) = (2515 / 2304 : Rat) := by decide +kernel
example : gain (9 / 10 : Rat) (125 / 128 : Rat) (1 / 4 : Rat) = (2304 / 2515 : Rat) := by decide +kernel
example : roundsPerHit (1 / 4 : Rat) (125 / 128 : Rat) (1 / 4 : Rat) = (503 / 128 : Rat) := by decide +kernel
example : gain (1 / 4 : Rat) (125 / 128 : Rat) (1 / 4 : Rat) = (128 / 503 : Rat) := by decide +kernel
example : savings 128 125 (1 / 10 : Rat) = (27 / 1280 : Rat) := by decide +kernel
example : cost (125 / 128 : Rat) (1 / 10 : Rat) = (1253 / 1280 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (125 / 128 : Rat) (1 / 10 : Rat) = (1253 / 1280 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (125 / 128 : Rat) (1 / 10 : Rat) = (1280 / 1253 : Rat) := by decide +kernel
example : roundsPerHit (9 / 10 : Rat) (125 / 128 : Rat) (1 / 10 : Rat) = (1253 / 1152 : Rat) := by decide +kernel
example : gain (9 / 10 : Rat) (125 / 128 : Rat) (1 / 10 : Rat) = (1152 / 1253 : Rat) := by decide +kernel
example : roundsPerHit (1 / 10 : Rat) (125 / 128 : Rat) (1 / 10 : Rat) = (1253 / 128 : Rat) := by decide +kernel
example : gain (1 / 10 : Rat) (125 / 128 : Rat) (1 / 10 : Rat) = (128 / 1253 : Rat) := by decide +kernel
example : savings 128 125 (1 / 20 : Rat) = (57 / 2560 : Rat) := by decide +kernel
example : cost (125 / 128 : Rat) (1 / 20 : Rat) = (2503 / 2560 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (125 / 128 : Rat) (1 / 20 : Rat) = (2503 / 2560 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (125 / 128 : Rat) (1 / 20 : Rat) = (2560 / 2503 : Rat) := by decide +kernel
example : roundsPerHit (9 / 10 : Rat) (125 / 128 : Rat) (1 / 20 : Rat) = (2503 / 2304 : Rat) := by decide +kernel
example : gain (9 / 10 : Rat) (125 / 128 : Rat) (1 / 20 : Rat) = (2304 / 2503 : Rat) := by decide +kernel
example : roundsPerHit (1 / 20 : Rat) (125 / 128 : Rat) (1 / 20 : Rat) = (2503 / 128 : Rat) := by decide +kernel
example : gain (1 / 20 : Rat) (125 / 128 : Rat) (1 / 20 : Rat) = (128 / 2503 : Rat) := by decide +kernel
example : savings 128 125 (1 / 100 : Rat) = (297 / 12800 : Rat) := by decide +kernel
example : cost (125 / 128 : Rat) (1 / 100 : Rat) = (12503 / 12800 : Rat) := by decide +kernel
example : roundsPerHit (1 / 1 : Rat) (125 / 128 : Rat) (1 / 100 : Rat) = (12503 / 12800 : Rat) := by decide +kernel
example : gain (1 / 1 : Rat) (125 / 128 : Rat) (1 / 100 : Rat) = (12800 / 12503 : Rat) := by decide +kernel
example : roundsPerHit (9 / 10 : Rat) (125 / 128 : Rat) (1 / 100 : Rat) = (12503 / 11520 : Rat) := by decide +kernel
example : gain (9 / 10 : Rat) (125 / 128 : Rat) (1 / 100 : Rat) = (11520 / 12503 : Rat) := by decide +kernel
example : roundsPerHit (1 / 100 : Rat) (125 / 128 : Rat) (1 / 100 : Rat) = (12503 / 128 : Rat) := by decide +kernel
example : gain (1 / 100 : Rat) (125 / 128 : Rat) (1 / 100 : Rat) = (128 / 12503 : Rat) := by decide +kernel
example : savings 128 125 (0 / 1 : Rat) = (3 / 128 : Rat) := by decide +kernel
example : cost (125 / 128 : Rat) (0 / 1 : Rat) = (125 / 128 : Rat) := by decide +kernel

end Vectors.Energy

namespace Vectors.Predictability

open _root_.Distribution _root_.Leakage _root_.Predictability

example : accuracy (Joint.ofCounts 2 2 (table [[39, 27], [15, 56]]) (by decide +kernel)) (fun j => ([0, 1] : List Nat)[j]?.getD 0) = (95 / 137 : Rat) := by decide +kernel
example : baseline (Joint.ofCounts 2 2 (table [[39, 27], [15, 56]]) (by decide +kernel)) = (71 / 137 : Rat) := by decide +kernel
example : totalVariation (Joint.ofCounts 2 2 (table [[39, 27], [15, 56]]) (by decide +kernel)) = (3558 / 18769 : Rat) := by decide +kernel
example : accuracy (Joint.ofCounts 2 5 (table [[4, 25, 7, 46, 46], [22, 28, 18, 11, 37]]) (by decide +kernel)) (fun j => ([1, 1, 1, 0, 0] : List Nat)[j]?.getD 0) = (40 / 61 : Rat) := by decide +kernel
example : baseline (Joint.ofCounts 2 5 (table [[4, 25, 7, 46, 46], [22, 28, 18, 11, 37]]) (by decide +kernel)) = (32 / 61 : Rat) := by decide +kernel
example : totalVariation (Joint.ofCounts 2 5 (table [[4, 25, 7, 46, 46], [22, 28, 18, 11, 37]]) (by decide +kernel)) = (566 / 3721 : Rat) := by decide +kernel
example : accuracy (Joint.ofCounts 3 4 (table [[22, 54, 51, 5], [38, 5, 23, 38], [9, 51, 1, 17]]) (by decide +kernel)) (fun j => ([1, 0, 0, 1] : List Nat)[j]?.getD 0) = (181 / 314 : Rat) := by decide +kernel
example : baseline (Joint.ofCounts 3 4 (table [[22, 54, 51, 5], [38, 5, 23, 38], [9, 51, 1, 17]]) (by decide +kernel)) = (66 / 157 : Rat) := by decide +kernel
example : totalVariation (Joint.ofCounts 3 4 (table [[22, 54, 51, 5], [38, 5, 23, 38], [9, 51, 1, 17]]) (by decide +kernel)) = (13545 / 49298 : Rat) := by decide +kernel

end Vectors.Predictability

namespace Vectors.Lease

open _root_.Lease

example : agrees [] = true := by decide +kernel
example : agrees [(.release 0, false), (.expire 0, false), (.write 0, false), (.write 0, false), (.release 0, false), (.acquire 1, true)] = true := by decide +kernel
example : agrees [(.write 1, false), (.acquire 1, true), (.acquire 0, false), (.acquire 0, false), (.acquire 2, false), (.write 0, false), (.write 0, false), (.write 0, false), (.renew 2, false), (.acquire 1, false), (.acquire 2, false), (.expire 2, false), (.renew 2, false), (.release 0, false), (.release 2, false), (.renew 2, false), (.write 0, false), (.acquire 2, false), (.write 2, false), (.renew 0, false)] = true := by decide +kernel
example : agrees [(.expire 1, false), (.write 1, false), (.acquire 2, true), (.write 2, false), (.write 0, false), (.write 0, false), (.acquire 2, false), (.write 2, false), (.write 2, false), (.write 2, false), (.acquire 0, false), (.write 0, false), (.renew 0, false), (.write 1, true), (.renew 0, false), (.release 2, false), (.acquire 1, false), (.acquire 2, false), (.expire 1, true), (.renew 1, false)] = true := by decide +kernel
example : agrees [(.write 1, false), (.renew 1, false), (.write 0, false), (.release 0, false), (.release 0, false), (.write 1, false), (.acquire 1, true), (.expire 2, false), (.acquire 0, false), (.write 0, false), (.release 0, false), (.release 2, false), (.acquire 0, false), (.acquire 2, false), (.write 0, false), (.renew 0, false), (.write 0, false), (.acquire 1, false), (.write 0, false), (.write 2, false), (.acquire 0, false), (.write 2, false), (.acquire 2, false), (.release 1, true), (.write 2, false), (.expire 1, false), (.write 0, false), (.write 2, false), (.release 0, false), (.write 0, false), (.expire 2, false), (.write 0, false), (.renew 0, false), (.expire 0, false), (.write 0, false), (.acquire 2, true), (.expire 1, false), (.write 3, false), (.write 2, true), (.acquire 0, false), (.write 3, false), (.acquire 0, false), (.write 3, false), (.release 2, true), (.acquire 0, true), (.write 3, true), (.renew 3, true), (.renew 2, false), (.write 4, false), (.write 2, false), (.acquire 0, false), (.expire 1, false), (.acquire 0, false), (.acquire 0, false), (.acquire 1, false), (.renew 3, true), (.acquire 1, false), (.acquire 1, false), (.expire 4, false), (.write 3, true)] = true := by decide +kernel

end Vectors.Lease

namespace Vectors.Handshake

open _root_.Handshake

example : summary [.answered 0 1000, .answered 0 1100, .sent 0 1200, .giveUp] = (none, [], 1, 2) := by decide +kernel
example : summary [.answered 0 1000, .answered 0 1100, .sent 0 1200, .answered 0 1300, .sent 1 1400, .answered 1 1500, .answered 1 1600, .sent 2 1700, .answered 2 1800, .answered 2 1900, .sent 3 2000, .answered 3 2100, .sent 4 2200, .giveUp, .sent 5 2400, .answered 5 2500, .sent 6 2600, .answered 6 2700, .sent 7 2800, .giveUp] = (none, [(6, 2600, 2700), (5, 2400, 2500), (3, 2000, 2100), (2, 1700, 1800), (1, 1400, 1500), (0, 1200, 1300)], 2, 4) := by decide +kernel
example : summary [.answered 0 1000, .sent 0 1100, .answered 0 1200, .sent 1 1300, .answered 1 1400, .sent 2 1500, .answered 1 1600, .answered 2 1700, .sent 3 1800, .answered 2 1900, .answered 3 2000, .sent 4 2100, .giveUp, .sent 5 2300, .answered 4 2400, .answered 5 2500, .giveUp, .sent 6 2700, .giveUp, .sent 7 2900, .giveUp, .answered 7 3100, .sent 8 3200, .giveUp, .answered 7 3400, .answered 8 3500, .giveUp, .sent 9 3700, .answered 9 3800, .sent 10 3900, .answered 10 4000, .sent 11 4100, .answered 11 4200, .sent 12 4300, .answered 12 4400, .sent 13 4500, .answered 12 4600, .answered 13 4700, .sent 14 4800, .answered 13 4900, .answered 14 5000, .sent 15 5100, .answered 15 5200, .sent 16 5300, .answered 16 5400, .sent 17 5500, .answered 17 5600, .sent 18 5700, .answered 18 5800, .sent 19 5900, .answered 19 6000, .answered 17 6100, .sent 20 6200, .answered 19 6300, .answered 20 6400, .sent 21 6500, .answered 19 6600, .answered 19 6700, .giveUp, .sent 22 6900] = (some 22, [(20, 6200, 6400), (19, 5900, 6000), (18, 5700, 5800), (17, 5500, 5600), (16, 5300, 5400), (15, 5100, 5200), (14, 4800, 5000), (13, 4500, 4700), (12, 4300, 4400), (11, 4100, 4200), (10, 3900, 4000), (9, 3700, 3800), (5, 2300, 2500), (3, 1800, 2000), (2, 1500, 1700), (1, 1300, 1400), (0, 1100, 1200)], 5, 13) := by decide +kernel

end Vectors.Handshake
