/* Double SHA-256 of block headers, plain C by FIPS 180-4: what a compiler makes of the textbook loop.
 * Built at bench time with -O3 and without the SHA extensions. Reads "prefix-hex count" from the command line, hashes
 * nonces 0..count-1 and prints the seconds of processor time and the xor of all digest words 7, which the caller checks. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const uint32_t k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
static const uint32_t iv[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                               0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static uint32_t rotr(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void compress(uint32_t state[8], const uint32_t block[16]) {
    uint32_t w[64], a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int t = 0; t < 16; t++) w[t] = block[t];
    for (int t = 16; t < 64; t++) {
        uint32_t s0 = rotr(w[t - 15], 7) ^ rotr(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = rotr(w[t - 2], 17) ^ rotr(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    for (int t = 0; t < 64; t++) {
        uint32_t t1 = h + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + ((e & f) ^ (~e & g)) + k[t] + w[t];
        uint32_t t2 = (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

int main(int argc, char **argv) {
    uint32_t words[19], midstate[8], check = 0;
    if (argc != 3) return 2;
    for (int i = 0; i < 19; i++) {
        if (sscanf(argv[1] + 8 * i, "%8x", &words[i]) != 1) return 2;
    }
    uint32_t count = (uint32_t)strtoul(argv[2], NULL, 10);
    clock_t begin = clock();
    for (int i = 0; i < 8; i++) midstate[i] = iv[i];
    compress(midstate, words);
    for (uint32_t nonce = 0; nonce < count; nonce++) {
        uint32_t first[16] = {words[16], words[17], words[18], __builtin_bswap32(nonce), 0x80000000};
        uint32_t second[16] = {0}, state[8], digest[8];
        first[15] = 640;
        for (int i = 0; i < 8; i++) state[i] = midstate[i], digest[i] = iv[i];
        compress(state, first);
        for (int i = 0; i < 8; i++) second[i] = state[i];
        second[8] = 0x80000000, second[15] = 256;
        compress(digest, second);
        check ^= digest[7];
    }
    printf("%.6f %08x\n", (double)(clock() - begin) / CLOCKS_PER_SEC, check);
    return 0;
}
