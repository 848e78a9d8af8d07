// The selective scan for training: a forward pass that keeps what its backward pass reads, and that.
//
//     g = y silu(z)     h[t] = exp(dt A) h[t - 1] + dt B u     y = C h[t] + D u
//
// A thread holds CT channels x NT states; four lanes hold a channel's 4 NT states, a warp 8 CT channels, a block of 128
// threads 32 CT. A block walks the sequences of one part (a run of whole sequences, cut by the batch alone) in its
// channels, CHUNK tokens at a time: all threads bring the chunk's rows to shared memory, then each walks its states.
#pragma once
#include "backward_base.cuh"

/// Tokens from one kept h to the next.
constexpr int CHUNK = 8;
constexpr int SCAN_THREADS = 128;

/// The batch: segment i is tokens offsets[i]..offsets[i + 1], part p is segments parts[p]..parts[p + 1], and the h kept of
/// segment i begin at kept_offsets[i]: one before each CHUNK tokens but the first. joints[i] is the number of the joint
/// where segment i goes on from segment i - 1, or -1 where it begins a sequence, as does joints[segments].
struct Batch {
    const int *offsets, *kept_offsets, *parts, *joints;
};

/// `[t, ..]`: dt after softplus, u: ip wide; xz: 2 ip, the second half is z; dtbc: `width`, ending with B and C.
template <class S> struct ScanRows {
    const S *dt, *u, *xz, *dtbc;
    /// A log2(e), `[ip, 4 NT]`, and D, `[ip]`.
    const float *a, *d;
    /// `[.., ip, 4 NT]`
    float* kept;
    /// h at the joints, `[joints, ip, 4 NT]`, and the sum of dt over the segment that ends there, `[joints, ip]`.
    float *joined, *dt_sums;
    int ip, width;
};

/// Where a thread stands.
template <int CT, int NT> struct Place {
    static constexpr int CHANNELS = 32 * CT, N = 4 * NT, WARPS = SCAN_THREADS / 32;
    int lane, warp, quarter;
    /// The first of its channels: in the block, in all.
    int local, channel;
    /// The channel whose sums over n are left with this lane.
    int own;
    bool owns;

    DEVICE Place(int ip) {
        lane = threadIdx.x % 32, warp = threadIdx.x / 32, quarter = lane % 4;
        local = warp * 8 * CT + lane / 4 * CT;
        channel = blockIdx.x * CHANNELS + local;
        own = local + quarter * CT / 4;
        owns = quarter * CT % 4 == 0 && blockIdx.x * CHANNELS + own < ip;
    }

    /// The channel `own` among all.
    DEVICE int owned() const { return blockIdx.x * CHANNELS + own; }
};

/// The 8-vector of a chunk's rows that a thread brings, if any.
template <int CT, int NT> struct Share {
    int token, column, channel;
    bool any;

    DEVICE Share(int ip) {
        constexpr int VECTORS = 4 * CT;
        token = threadIdx.x / VECTORS, column = threadIdx.x % VECTORS * 8;
        channel = blockIdx.x * 32 * CT + column;
        any = token < CHUNK && channel < ip;
    }

    /// Zeros where the block has channels that are not there: they must not add to sums over channels.
    DEVICE void clear_absent(float (*chunk)[32 * CT]) const {
        const float zeros[8] = {};
        if (token < CHUNK && !any) store8(&chunk[token][column], zeros);
    }
};

/// B and C of a chunk, by the first 8 NT threads.
template <class S, int NT> struct ShareBC {
    static constexpr int VECTORS = NT; // of 8 in 8 NT values
    Raw8<S> raw;
    int token, column;

    DEVICE ShareBC() { token = threadIdx.x / VECTORS, column = threadIdx.x % VECTORS * 8; }
    DEVICE void fetch(const ScanRows<S>& rows, int first, int count) {
        if (token < count)
            load_raw(rows.dtbc + size_t(first + token) * rows.width + rows.width - 8 * NT + column, raw);
    }
    DEVICE void stage(float (*bc)[8 * NT], int count) {
        if (token >= count) return;
        float v[8];
        unpack(raw, v);
        store8(&bc[token][column], v);
    }
};

template <int CT, int NT> DEVICE void load_states(const float* from, int channel, int ip, int quarter, float (&v)[CT][NT]) {
#pragma unroll
    for (int c = 0; c < CT; c++) {
        if (channel + c < ip) load_shared<NT>(from + size_t(channel + c) * 4 * NT + quarter * NT, v[c]);
        else
#pragma unroll
            for (int j = 0; j < NT; j++) v[c][j] = 0.f;
    }
}

/// The states at a joint, or zeros where there is none.
template <int CT, int NT>
DEVICE void load_joint(const float* joined, int joint, int channel, int ip, int quarter, float (&v)[CT][NT]) {
    if (joint >= 0) {
        load_states<CT, NT>(joined + size_t(joint) * ip * 4 * NT, channel, ip, quarter, v);
        return;
    }
#pragma unroll
    for (int c = 0; c < CT; c++)
#pragma unroll
        for (int j = 0; j < NT; j++) v[c][j] = 0.f;
}

template <int CT, int NT> DEVICE void store_states(float* to, int channel, int ip, int quarter, const float (&v)[CT][NT]) {
#pragma unroll
    for (int c = 0; c < CT; c++)
        if (channel + c < ip)
#pragma unroll
            for (int j = 0; j < NT; j += 4)
                *reinterpret_cast<float4*>(to + size_t(channel + c) * 4 * NT + quarter * NT + j) =
                    float4{v[c][j], v[c][j + 1], v[c][j + 2], v[c][j + 3]};
}

/// h moved on by a token.
template <int CT, int NT>
DEVICE void advance(float (&h)[CT][NT], const float (&a)[CT][NT], const float (&dt)[CT], const float (&u)[CT], const float (&b)[NT]) {
#pragma unroll
    for (int c = 0; c < CT; c++) {
        const float dtu = dt[c] * u[c];
#pragma unroll
        for (int j = 0; j < NT; j++) h[c][j] = exp2_fast(dt[c] * a[c][j]) * h[c][j] + dtu * b[j];
    }
}

/// y and g, `[t, ip]`, and the kept h.
template <class S, int CT, int NT, int UNROLL = 4> DEVICE void scan_forward(const ScanRows<S>& rows, const Batch& batch, S* y_out, S* g_out) {
    using P = Place<CT, NT>;
    __shared__ __align__(16) float dts[CHUNK][P::CHANNELS], us[CHUNK][P::CHANNELS], zs[CHUNK][P::CHANNELS], bcs[CHUNK][2 * P::N];
    const P at(rows.ip);
    const Share<CT, NT> share(rows.ip);
    ShareBC<S, NT> bc;
    Raw8<S> dt_raw, u_raw, z_raw;
    float a[CT][NT];
    load_states<CT, NT>(rows.a, at.channel, rows.ip, at.quarter, a);
    const float skip = at.owns ? rows.d[at.owned()] : 0.f;

    auto fetch = [&](int first, int count) {
        if (share.any && share.token < count) {
            const size_t t = first + share.token;
            load_raw(rows.dt + t * rows.ip + share.channel, dt_raw);
            load_raw(rows.u + t * rows.ip + share.channel, u_raw);
            load_raw(rows.xz + (2 * t + 1) * rows.ip + share.channel, z_raw);
        }
        bc.fetch(rows, first, count);
    };
    auto stage = [&](int count) {
        float v[8];
        if (share.any && share.token < count) {
            unpack(dt_raw, v), store8(&dts[share.token][share.column], v);
            unpack(u_raw, v), store8(&us[share.token][share.column], v);
            unpack(z_raw, v), store8(&zs[share.token][share.column], v);
        }
        bc.stage(bcs, count);
    };

    for (int i = batch.parts[blockIdx.y]; i < batch.parts[blockIdx.y + 1]; i++) {
        const int begin = batch.offsets[i], end = batch.offsets[i + 1];
        float h[CT][NT];
        load_joint<CT, NT>(rows.joined, batch.joints[i], at.channel, rows.ip, at.quarter, h);
        if (begin < end) fetch(begin, min(CHUNK, end - begin));
        for (int first = begin; first < end; first += CHUNK) {
            const int count = min(CHUNK, end - first);
            __syncthreads();
            stage(count);
            __syncthreads();
            if (first + CHUNK < end) fetch(first + CHUNK, min(CHUNK, end - first - CHUNK));
            if (first > begin) {
                const size_t slot = batch.kept_offsets[i] + (first - begin) / CHUNK - 1;
                store_states<CT, NT>(rows.kept + slot * rows.ip * P::N, at.channel, rows.ip, at.quarter, h);
            }
#pragma unroll UNROLL
            for (int k = 0; k < count; k++) {
                float dt[CT], u[CT], b[NT], c[NT], y[CT] = {};
                load_shared<CT>(&dts[k][at.local], dt);
                load_shared<CT>(&us[k][at.local], u);
                load_shared<NT>(&bcs[k][at.quarter * NT], b);
                load_shared<NT>(&bcs[k][P::N + at.quarter * NT], c);
                advance<CT, NT>(h, a, dt, u, b);
#pragma unroll
                for (int m = 0; m < CT; m++)
#pragma unroll
                    for (int j = 0; j < NT; j++) y[m] += h[m][j] * c[j];
                add_over_lanes<CT, 2, 1>(y, at.lane);
                if (at.owns) {
                    const float z = zs[k][at.own], sum = y[0] + skip * us[k][at.own];
                    const size_t to = size_t(first + k) * rows.ip + at.owned();
                    y_out[to] = narrow(sum, S());
                    g_out[to] = narrow(sum * z * sigmoid(z), S());
                }
            }
        }
    }
}
