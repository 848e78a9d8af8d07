// The scan's backward pass. From the last token to the first, with e = exp(dt A); j runs over the n states:
//
//     dy = dg silu(z)                          dz = dg y silu'(z)
//     dh[j] += C[j] dy                         dC[j] = sum over channels of h[j] dy
//     dB[j] = sum over channels of dh[j] dt u
//     du = D dy + dt sum over j of dh[j] B[j]  dD = sum over tokens of u dy
//     ddt = u sum over j of dh[j] B[j] + sum over j of A[j] w[j],    w[j] = dh[j] e[j] h[t - 1][j]
//     dA[j] = sum over tokens of dt w[j]
//     dh[j] = e[j] dh[j], to the token before
//
// h is computed again, chunk by chunk, from what the forward pass kept. Sums over a part's tokens stay in registers, sums
// over channels go through lanes, then warps, then (in another kernel) blocks: always in the same order.
#pragma once
#include "backward_scan.cuh"

/// What it reads beside the forward pass's rows, and what it writes.
template <class S> struct ScanBack {
    /// `[t, ip]`
    const S *dg, *y;
    /// `[t, ip]`; ddt is for dt before softplus.
    S *du, *ddt;
    /// `[t, 2 ip]`, of which dz is the second half.
    S* dxz;
    /// A block's sums of dB and dC over its channels, `[blocks, t, 8 NT]`.
    float* dbc;
    /// The gradients for h at the joints, `[joints, ip, 4 NT]`.
    float* joined;
    /// A part's sums of dA_log, dD and the gradient for dt's bias, `[parts, ip (4 NT + 2)]`.
    float* sums;
    int tokens;
};

/// Sums of dB and dC that the warps of a block still have to add up.
template <int CT, int NT> struct Pending {
    using P = Place<CT, NT>;
    float (*of)[CHUNK][2 * P::N];
    int first, count;

    /// Writes the sum over warps.
    DEVICE void flush(float* dbc, int tokens) const {
        float* to = dbc + (size_t(blockIdx.x) * tokens + first) * 2 * P::N;
#pragma unroll 1
        for (int i = threadIdx.x; i < count * 2 * P::N; i += SCAN_THREADS) {
            const int token = i / (2 * P::N), column = i % (2 * P::N);
            to[i] = (of[0][token][column] + of[1][token][column]) + (of[2][token][column] + of[3][token][column]);
        }
    }
};

/// One chunk's rows on their way to shared memory.
template <class S, int CT, int NT> struct ChunkBack {
    using P = Place<CT, NT>;
    Share<CT, NT> share;
    ShareBC<S, NT> bc;
    Raw8<S> dt, u, z, dg, y;

    DEVICE ChunkBack(int ip) : share(ip) {}

    DEVICE void fetch(const ScanRows<S>& rows, const ScanBack<S>& back, int first, int count) {
        if (share.any && share.token < count) {
            const size_t t = first + share.token, at = t * rows.ip + share.channel;
            load_raw(rows.dt + at, dt);
            load_raw(rows.u + at, u);
            load_raw(rows.xz + (2 * t + 1) * rows.ip + share.channel, z);
            load_raw(back.dg + at, dg);
            load_raw(back.y + at, y);
        }
        bc.fetch(rows, first, count);
    }

    /// Writes dt, u, dy to shared memory, and dz.
    DEVICE void stage(float (*dts)[P::CHANNELS], float (*us)[P::CHANNELS], float (*dys)[P::CHANNELS], S* dxz, int ip, int count) {
        if (!share.any || share.token >= count) return;
        float v[8], w[8], x[8];
        unpack(dt, v), store8(&dts[share.token][share.column], v);
        unpack(u, v), store8(&us[share.token][share.column], v);
        unpack(z, v), unpack(dg, w), unpack(y, x);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const float s = sigmoid(v[i]);
            x[i] = w[i] * x[i] * s * (1.f + v[i] * (1.f - s));
            w[i] = w[i] * v[i] * s;
        }
        store8(&dys[share.token][share.column], w);
        store8(dxz + ip + share.channel, x);
    }
};

/// One token back in a thread's states. h: after the token; before: before it. dh moves to the token before; left in
/// `through` are the sums over the thread's states of dh B and of A w / ln 2, in `dbc` those over its channels of dB and dC.
template <int CT, int NT> struct TokenBack {
    float through[2][CT], dbc[2 * NT];

    DEVICE void walk(
        const float (&a)[CT][NT], const float (&dt)[CT], const float (&u)[CT], const float (&dy)[CT], const float (&b)[NT],
        const float (&c)[NT], const float (&h)[CT][NT], const float (&before)[CT][NT], float (&dh)[CT][NT], float (&da)[CT][NT]) {
#pragma unroll
        for (int j = 0; j < 2 * NT; j++) dbc[j] = 0.f;
#pragma unroll
        for (int m = 0; m < CT; m++) {
            through[0][m] = through[1][m] = 0.f;
            const float dtu = dt[m] * u[m];
#pragma unroll
            for (int j = 0; j < NT; j++) {
                dh[m][j] += c[j] * dy[m];
                dbc[NT + j] += h[m][j] * dy[m];
                dbc[j] += dh[m][j] * dtu;
                through[0][m] += dh[m][j] * b[j];
                dh[m][j] *= exp2_fast(dt[m] * a[m][j]);
                const float w = dh[m][j] * before[m][j];
                through[1][m] += a[m][j] * w;
                da[m][j] += dt[m] * w;
            }
        }
    }

    /// Adds up over lanes: `through` over states, left with the channel's own lane; dB and dC over the warp's channels, to
    /// `sums`.
    DEVICE void add_up(const Place<CT, NT>& at, float* sums) {
        add_over_lanes<CT, 2, 1>(through[0], at.lane);
        add_over_lanes<CT, 2, 1>(through[1], at.lane);
        add_over_lanes<2 * NT, 16, 4>(dbc, at.lane);
        constexpr int MINE = NT / 4; // of the 2 NT sums, by lane / 4
#pragma unroll
        for (int j = 0; j < MINE; j++) {
            const int state = at.lane / 4 * MINE + j;
            sums[state / NT * 4 * NT + at.quarter * NT + state % NT] = dbc[j];
        }
    }
};

/// The channel whose sums over states are left with a lane: D, and the gradients for D and dt's bias so far.
template <class S> struct OwnChannel {
    float skip, d_skip, d_bias;

    DEVICE void finish(float dt, float u, float dy, float through_b, float through_a, S* du, S* ddt_to) {
        const float ddt = (u * through_b + LN2 * through_a) * softplus_slope(dt);
        *du = narrow(skip * dy + dt * through_b, S());
        *ddt_to = narrow(ddt, S());
        d_skip += dy * u;
        d_bias += ddt;
    }
};

/// Where h before each token of a chunk lies: `[CHUNK, CT NT / 4, threads]` of four values.
template <int CT, int NT> struct Slots {
    float4* of;

    DEVICE void write(int k, const float (&h)[CT][NT]) const {
#pragma unroll
        for (int m = 0; m < CT; m++)
#pragma unroll
            for (int j = 0; j < NT; j += 4)
                of[((k * CT + m) * (NT / 4) + j / 4) * SCAN_THREADS + threadIdx.x] = float4{h[m][j], h[m][j + 1], h[m][j + 2], h[m][j + 3]};
    }
    DEVICE void read(int k, float (&h)[CT][NT]) const {
#pragma unroll
        for (int m = 0; m < CT; m++)
#pragma unroll
            for (int j = 0; j < NT; j += 4) {
                const float4 four = of[((k * CT + m) * (NT / 4) + j / 4) * SCAN_THREADS + threadIdx.x];
                h[m][j] = four.x, h[m][j + 1] = four.y, h[m][j + 2] = four.z, h[m][j + 3] = four.w;
            }
    }
};

/// A chunk's h once more, from h before it; what is before each token goes to its slot.
template <int CT, int NT, int UNROLL>
DEVICE void again(
    const Place<CT, NT>& at, const float (&a)[CT][NT], const float (*dts)[32 * CT], const float (*us)[32 * CT],
    const float (*bcs)[8 * NT], int count, const Slots<CT, NT>& slots, float (&h)[CT][NT]) {
#pragma unroll UNROLL
    for (int k = 0; k < count; k++) {
        float dt[CT], u[CT], b[NT];
        load_shared<CT>(&dts[k][at.local], dt);
        load_shared<CT>(&us[k][at.local], u);
        load_shared<NT>(&bcs[k][at.quarter * NT], b);
        slots.write(k, h);
        advance<CT, NT>(h, a, dt, u, b);
    }
}

/// A part's sums: dA_log, dD and the gradient for dt's bias.
template <class S, int CT, int NT>
DEVICE void write_sums(const Place<CT, NT>& at, int ip, const float (&a)[CT][NT], float (&da)[CT][NT], const OwnChannel<S>& own, float* sums) {
#pragma unroll
    for (int m = 0; m < CT; m++)
#pragma unroll
        for (int j = 0; j < NT; j++) da[m][j] *= LN2 * a[m][j]; // for A_log
    store_states<CT, NT>(sums, at.channel, ip, at.quarter, da);
    if (at.owns) {
        sums[ip * 4 * NT + at.owned()] = own.d_skip;
        sums[ip * (4 * NT + 1) + at.owned()] = own.d_bias;
    }
}

template <class S, int CT, int NT, int UNROLL = 2> DEVICE void scan_backward(const ScanRows<S>& rows, const Batch& batch, const ScanBack<S>& back) {
    using P = Place<CT, NT>;
    __shared__ __align__(16) float dts[CHUNK][P::CHANNELS], us[CHUNK][P::CHANNELS], dys[CHUNK][P::CHANNELS];
    __shared__ __align__(16) float bcs[CHUNK][2 * P::N], dbcs[P::WARPS][CHUNK][2 * P::N];
    DYNAMIC_SHARED(dynamic);
    const Slots<CT, NT> slots{reinterpret_cast<float4*>(dynamic)};
    const P at(rows.ip);
    ChunkBack<S, CT, NT> next(rows.ip);
    next.share.clear_absent(dts), next.share.clear_absent(us), next.share.clear_absent(dys);
    float a[CT][NT], da[CT][NT] = {}, kept[CT][NT];
    load_states<CT, NT>(rows.a, at.channel, rows.ip, at.quarter, a);
    OwnChannel<S> own{at.owns ? rows.d[at.owned()] : 0.f, 0.f, 0.f};
    Pending<CT, NT> pending{dbcs, 0, 0};

    for (int i = batch.parts[blockIdx.y]; i < batch.parts[blockIdx.y + 1]; i++) {
        const int begin = batch.offsets[i], end = batch.offsets[i + 1];
        auto fetch = [&](int first) {
            next.fetch(rows, back, first, min(CHUNK, end - first));
            if (first > begin) {
                const size_t slot = batch.kept_offsets[i] + (first - begin) / CHUNK - 1;
                load_states<CT, NT>(rows.kept + slot * rows.ip * P::N, at.channel, rows.ip, at.quarter, kept);
            } else {
                load_joint<CT, NT>(rows.joined, batch.joints[i], at.channel, rows.ip, at.quarter, kept);
            }
        };
        float dh[CT][NT];
        load_joint<CT, NT>(back.joined, batch.joints[i + 1], at.channel, rows.ip, at.quarter, dh);
        const int last = begin + (end - begin - 1) / CHUNK * CHUNK;
        if (begin < end) fetch(last);
        for (int first = last; begin < end && first >= begin; first -= CHUNK) {
            const int count = min(CHUNK, end - first);
            __syncthreads();
            pending.flush(back.dbc, back.tokens);
            next.stage(dts, us, dys, back.dxz + size_t(first + next.share.token) * 2 * rows.ip, rows.ip, count);
            next.bc.stage(bcs, count);
            float h[CT][NT];
#pragma unroll
            for (int m = 0; m < CT; m++)
#pragma unroll
                for (int j = 0; j < NT; j++) h[m][j] = kept[m][j];
            __syncthreads();
            if (first > begin) fetch(first - CHUNK);

            again<CT, NT, UNROLL>(at, a, dts, us, bcs, count, slots, h);
#pragma unroll UNROLL
            for (int k = count - 1; k >= 0; k--) {
                float dt[CT], u[CT], dy[CT], b[NT], c[NT], before[CT][NT];
                load_shared<CT>(&dts[k][at.local], dt);
                load_shared<CT>(&us[k][at.local], u);
                load_shared<CT>(&dys[k][at.local], dy);
                load_shared<NT>(&bcs[k][at.quarter * NT], b);
                load_shared<NT>(&bcs[k][P::N + at.quarter * NT], c);
                slots.read(k, before);
                TokenBack<CT, NT> token;
                token.walk(a, dt, u, dy, b, c, h, before, dh, da);
#pragma unroll
                for (int m = 0; m < CT; m++)
#pragma unroll
                    for (int j = 0; j < NT; j++) h[m][j] = before[m][j];

                token.add_up(at, dbcs[at.warp][k]);
                if (at.owns) {
                    const size_t to = size_t(first + k) * rows.ip + at.owned();
                    own.finish(
                        dts[k][at.own], us[k][at.own], dys[k][at.own], token.through[0][0], token.through[1][0], back.du + to,
                        back.ddt + to);
                }
            }
            pending.first = first, pending.count = count;
        }
    }
    __syncthreads();
    pending.flush(back.dbc, back.tokens);
    write_sums<S, CT, NT>(at, rows.ip, a, da, own, back.sums + size_t(blockIdx.y) * rows.ip * (P::N + 2));
}
