// What long sequences' segments need before they can be scanned side by side: h, and its gradient, where they join.
//
// The recurrence is linear in h, so a segment of zeros at its start says what it adds, and the sum of its dt how much of
// what comes in goes out: h_out = exp(A sum of dt) h_in + h_own. Each segment walks on its own, then a chain over the
// joints of a sequence puts them together; the same backward for dh.
#pragma once
#include "backward_scan_back.cuh"

/// What each segment adds to h at its end, where another one follows, and the sum of its dt.
template <class S, int CT, int NT> DEVICE void carry_forward(const ScanRows<S>& rows, const Batch& batch) {
    using P = Place<CT, NT>;
    __shared__ __align__(16) float dts[CHUNK][P::CHANNELS], us[CHUNK][P::CHANNELS], bcs[CHUNK][2 * P::N];
    const P at(rows.ip);
    const Share<CT, NT> share(rows.ip);
    ShareBC<S, NT> bc;
    Raw8<S> dt_raw, u_raw;
    float a[CT][NT];
    load_states<CT, NT>(rows.a, at.channel, rows.ip, at.quarter, a);
    auto fetch = [&](int first, int count) {
        if (share.any && share.token < count) {
            const size_t from = size_t(first + share.token) * rows.ip + share.channel;
            load_raw(rows.dt + from, dt_raw);
            load_raw(rows.u + from, u_raw);
        }
        bc.fetch(rows, first, count);
    };
    for (int i = batch.parts[blockIdx.y]; i < batch.parts[blockIdx.y + 1]; i++) {
        const int begin = batch.offsets[i], end = batch.offsets[i + 1], joint = batch.joints[i + 1];
        if (joint < 0) continue;
        float h[CT][NT] = {}, sums[CT] = {};
        fetch(begin, min(CHUNK, end - begin));
        for (int first = begin; first < end; first += CHUNK) {
            const int count = min(CHUNK, end - first);
            __syncthreads();
            if (share.any && share.token < count) {
                float v[8];
                unpack(dt_raw, v), store8(&dts[share.token][share.column], v);
                unpack(u_raw, v), store8(&us[share.token][share.column], v);
            }
            bc.stage(bcs, count);
            __syncthreads();
            if (first + CHUNK < end) fetch(first + CHUNK, min(CHUNK, end - first - CHUNK));
#pragma unroll 4
            for (int k = 0; k < count; k++) {
                float dt[CT], u[CT], b[NT];
                load_shared<CT>(&dts[k][at.local], dt);
                load_shared<CT>(&us[k][at.local], u);
                load_shared<NT>(&bcs[k][at.quarter * NT], b);
                advance<CT, NT>(h, a, dt, u, b);
#pragma unroll
                for (int m = 0; m < CT; m++) sums[m] += dt[m];
            }
        }
        store_states<CT, NT>(rows.joined + size_t(joint) * rows.ip * P::N, at.channel, rows.ip, at.quarter, h);
#pragma unroll
        for (int m = 0; m < CT; m++)
            if (at.quarter == 0 && at.channel + m < rows.ip) rows.dt_sums[size_t(joint) * rows.ip + at.channel + m] = sums[m];
    }
}

/// What each segment adds to dh at its start, where another one precedes.
template <class S, int CT, int NT>
DEVICE void carry_backward(const ScanRows<S>& rows, const Batch& batch, const ScanBack<S>& back) {
    using P = Place<CT, NT>;
    __shared__ __align__(16) float dts[CHUNK][P::CHANNELS], dys[CHUNK][P::CHANNELS], bcs[CHUNK][2 * P::N];
    const P at(rows.ip);
    const Share<CT, NT> share(rows.ip);
    ShareBC<S, NT> bc;
    Raw8<S> dt_raw, dg_raw, z_raw;
    float a[CT][NT];
    load_states<CT, NT>(rows.a, at.channel, rows.ip, at.quarter, a);
    auto fetch = [&](int first, int count) {
        if (share.any && share.token < count) {
            const size_t t = first + share.token, from = t * rows.ip + share.channel;
            load_raw(rows.dt + from, dt_raw);
            load_raw(back.dg + from, dg_raw);
            load_raw(rows.xz + (2 * t + 1) * rows.ip + share.channel, z_raw);
        }
        bc.fetch(rows, first, count);
    };
    for (int i = batch.parts[blockIdx.y]; i < batch.parts[blockIdx.y + 1]; i++) {
        const int begin = batch.offsets[i], end = batch.offsets[i + 1], joint = batch.joints[i];
        if (joint < 0) continue;
        float dh[CT][NT] = {};
        const int last = begin + (end - begin - 1) / CHUNK * CHUNK;
        fetch(last, end - last);
        for (int first = last; first >= begin; first -= CHUNK) {
            const int count = min(CHUNK, end - first);
            __syncthreads();
            if (share.any && share.token < count) {
                float v[8], z[8];
                unpack(dt_raw, v), store8(&dts[share.token][share.column], v);
                unpack(dg_raw, v), unpack(z_raw, z);
#pragma unroll
                for (int c = 0; c < 8; c++) v[c] *= z[c] * sigmoid(z[c]);
                store8(&dys[share.token][share.column], v);
            }
            bc.stage(bcs, count);
            __syncthreads();
            if (first > begin) fetch(first - CHUNK, CHUNK);
#pragma unroll 4
            for (int k = count - 1; k >= 0; k--) {
                float dt[CT], dy[CT], c[NT];
                load_shared<CT>(&dts[k][at.local], dt);
                load_shared<CT>(&dys[k][at.local], dy);
                load_shared<NT>(&bcs[k][P::N + at.quarter * NT], c);
#pragma unroll
                for (int m = 0; m < CT; m++)
#pragma unroll
                    for (int j = 0; j < NT; j++) dh[m][j] = exp2_fast(dt[m] * a[m][j]) * (dh[m][j] + c[j] * dy[m]);
            }
        }
        store_states<CT, NT>(back.joined + size_t(joint) * rows.ip * P::N, at.channel, rows.ip, at.quarter, dh);
    }
}

/// Puts the segments of each sequence together, joint by joint, forward or backward; a thread a state. chained[k]: joint k
/// ends the segment that joint k - 1 begins. a: `[ip, n]`, joined: `[joints, ip, n]`.
DEVICE void chain(const int* chained, int joints, const float* a, const float* dt_sums, int ip, int n, bool backward, float* joined) {
    const int state = blockIdx.x * blockDim.x + threadIdx.x, all = ip * n, channel = state / n;
    if (state >= all) return;
    constexpr int AHEAD = 8; // joints whose values are on their way at once
    const float rate = a[state];
    float carried = 0.f;
    for (int first = 0; first < joints; first += AHEAD) {
        float own[AHEAD], through[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            const int k = backward ? joints - 1 - first - i : first + i, next = backward ? k + 1 : k;
            if (first + i >= joints) continue;
            own[i] = joined[size_t(k) * all + state];
            const bool more = next < joints && chained[next];
            through[i] = more ? exp2_fast(rate * dt_sums[size_t(next) * ip + channel]) : 0.f;
        }
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            const int k = backward ? joints - 1 - first - i : first + i;
            if (first + i >= joints) continue;
            carried = own[i] + through[i] * carried;
            joined[size_t(k) * all + state] = carried;
        }
    }
}
