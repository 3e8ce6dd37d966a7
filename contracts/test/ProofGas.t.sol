// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ProofVerifier} from "../src/verifiers/ProofVerifier.sol";
import {ProofFixture, Vector} from "./ProofFixture.sol";
import {vm} from "./Vm.sol";

/// @title What a proof costs; kept in contracts/snapshots
/// @notice Each call is a transaction of its own (`isolate`), so these are the numbers of receipts: 21,000, calldata
///         and cold storage included. Of static calls, which forge does not isolate, it leaves out the first two.
/// forge-config: default.isolate = true
contract ProofGasTest is ProofFixture {
    uint256 private constant TRANSACTION_GAS = 21_000;
    uint256 private constant ZERO_BYTE_GAS = 4;
    uint256 private constant OTHER_BYTE_GAS = 16;
    /// @dev EIP-7623: no transaction pays less than this for a zero byte, and four times this for another.
    uint256 private constant FLOOR_GAS = 10;
    /// @dev A point evaluation, and a multiplication of as many points as the smallest model here has.
    uint256 private constant LEAST_GAS = 200_000;

    function test_Mlp51k() public {
        snapshot("mlp-784-64-10", "784-64-10, public input", 420_000);
    }

    function test_Mlp235k() public {
        snapshot("mlp-784-256-128-10", "784-256-128-10, public input", 720_000);
    }

    function test_Mlp1M() public {
        snapshot("mlp-784-1024-256-10", "784-1024-256-10, public input", 2_000_000);
    }

    function test_Zoo() public {
        snapshot("zoo", "every operator and index map", 600_000);
    }

    /// @param limit What a proof of the prepared model may cost.
    function snapshot(string memory vector, string memory name, uint256 limit) private {
        Vector memory v = loadVector(vector);
        register(v.circuit, v.parts, v.manifest);
        (address deployed,) = deploy("ProofVerifier.sol:ProofVerifier", v.chunkBits, v.tau);
        ProofVerifier verifier = ProofVerifier(deployed);
        bytes memory proving =
            abi.encodeCall(ProofVerifier.verifyProof, (v.modelId, v.context, v.input, v.output, v.proof));
        record(string.concat(name, ", not prepared"), deployed, proving);
        verifier.prepare(v.modelId);
        vm.snapshotGasLastCall("ProofVerifier", string.concat(name, ": prepare"));
        vm.assertLe(record(name, deployed, proving), limit, name);
    }

    function record(string memory name, address verifier, bytes memory data) private returns (uint256 total) {
        // Not through the interface: the function is a view, and would be called statically.
        (bool isAccepted,) = verifier.call(data);
        total = vm.snapshotGasLastCall("ProofVerifier", name);
        vm.assertTrue(isAccepted, name);
        uint256 zeros;
        for (uint256 i; i < data.length; ++i) {
            if (data[i] == 0) ++zeros;
        }
        uint256 others = data.length - zeros;
        vm.assertLe(TRANSACTION_GAS + FLOOR_GAS * (zeros + 4 * others), total, "EIP-7623");
        // Else forge measured what runs and no more.
        uint256 before = TRANSACTION_GAS + ZERO_BYTE_GAS * zeros + OTHER_BYTE_GAS * others;
        vm.assertLe(before + LEAST_GAS, total, "a whole transaction");
    }
}
