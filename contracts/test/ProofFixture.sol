// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// TENSORS is used in assembly alone, which solhint does not see.
// solhint-disable no-unused-import

import {ModelRegistry} from "../src/ModelRegistry.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {
    ALPHA,
    BETA,
    COORDINATES,
    LAMBDA,
    LINEAR_ROUNDS,
    LOOKUPS,
    MAPS,
    MAP_ROUNDS,
    MU,
    ROUNDS,
    SEPARATOR,
    TAU,
    TENSORS,
    load
} from "../src/libraries/proof/Memory.sol";
import {RHO, SIGMA, THETA} from "../src/libraries/proof/Points.sol";
import {ProofVerifier} from "../src/verifiers/ProofVerifier.sol";
import {vm} from "./Vm.sol";

/// @title Cheatcodes that only these tests use
interface VmOfProofs {
    function parseJsonBytesArray(string calldata json, string calldata key) external pure returns (bytes[] memory);
}

/// @notice One of tests/vectors/proofs; tests/vectors/make_proofs.py says what the fields are.
struct Vector {
    bytes32 modelId;
    bytes32 context;
    bytes circuit;
    bytes[] parts;
    bytes manifest;
    bytes input;
    bytes output;
    bytes proof;
    uint256[] challenges;
    uint256 chunkBits;
    bytes tau;
}

/// @title The verifier, telling what it computed
contract TellingVerifier is ProofVerifier {
    constructor(IModelRegistry models, uint256 chunkBits, bytes memory tauG2)
        ProofVerifier(models, chunkBits, tauG2)
    {}

    /// @notice Answers with its memory's fixed positions as they are, because code that picks from them would not fit
    ///         into this contract too.
    function memoryOf(
        bytes32 modelId,
        bytes32 context,
        bytes calldata input,
        bytes calldata output,
        bytes calldata proof
    ) external view {
        _verifyProof(modelId, context, input, output, proof);
        assembly ("memory-safe") {
            return(0, TENSORS)
        }
    }
}

/// @title Vectors, registered in a registry of their own
abstract contract ProofFixture {
    ModelRegistry internal models = new ModelRegistry();

    function loadVector(string memory name) internal view returns (Vector memory v) {
        string memory json = vm.readFile(string.concat("tests/vectors/proofs/", name, ".json"));
        v.modelId = vm.parseJsonBytes32(json, ".modelId");
        v.context = vm.parseJsonBytes32(json, ".context");
        v.circuit = vm.parseJsonBytes(json, ".circuit");
        v.parts = VmOfProofs(address(vm)).parseJsonBytesArray(json, ".parts");
        v.manifest = vm.parseJsonBytes(json, ".manifest");
        v.input = vm.parseJsonBytes(json, ".input");
        v.output = vm.parseJsonBytes(json, ".output");
        v.proof = vm.parseJsonBytes(json, ".proof");
        v.challenges = vm.parseJsonUintArray(json, ".challenges");
        v.chunkBits = vm.parseJsonUint(json, ".chunkBits");
        v.tau = vm.parseJsonBytes(json, ".tau");
    }

    function register(bytes memory circuit, bytes[] memory parts, bytes memory manifest) internal returns (bytes32) {
        bytes32[] memory digests = new bytes32[](parts.length);
        for (uint256 i; i < parts.length; ++i) {
            digests[i] = models.storeParameters(parts[i]);
        }
        return models.register(1, keccak256(manifest), circuit, digests, "file:manifest.json");
    }

    /// @dev The vector's model, registered, and a verifier for its setup.
    function prepare(Vector memory v) internal returns (TellingVerifier verifier) {
        vm.assertEq(register(v.circuit, v.parts, v.manifest), v.modelId);
        (address deployed,) = deploy("ProofFixture.sol:TellingVerifier", v.chunkBits, v.tau);
        verifier = TellingVerifier(deployed);
    }

    /// @dev From the artifact: the tests' own code would be too large with the verifier's in it.
    function deploy(string memory artifact, uint256 chunkBits, bytes memory tau)
        internal
        returns (address deployed, bytes memory reason)
    {
        bytes memory creation = bytes.concat(vm.getCode(artifact), abi.encode(models, chunkBits, tau));
        assembly ("memory-safe") {
            deployed := create(0, add(creation, 0x20), mload(creation))
            reason := mload(0x40)
            mstore(reason, returndatasize())
            returndatacopy(add(reason, 0x20), 0, returndatasize())
            mstore(0x40, and(add(add(reason, 0x3f), returndatasize()), not(0x1f)))
        }
    }

    /// @dev In the order drawn.
    function challengesOf(TellingVerifier verifier, Vector memory v) internal view returns (uint256[] memory drawn) {
        (bool isSuccess, bytes memory told) = address(verifier)
            .staticcall(abi.encodeCall(verifier.memoryOf, (v.modelId, v.context, v.input, v.output, v.proof)));
        vm.assertTrue(isSuccess, "accepted");
        uint256 rounds = word(told, ROUNDS);
        drawn = new uint256[](8 + 2 * rounds + word(told, LINEAR_ROUNDS) + word(told, MAP_ROUNDS));
        uint256 count = copy(drawn, 0, told, ALPHA, 1);
        if (word(told, LOOKUPS) != 0) count = copy(drawn, count, told, BETA, 1);
        count = copy(drawn, count, told, SEPARATOR, 2);
        count = copy(drawn, count, told, TAU, rounds);
        count = copy(drawn, count, told, COORDINATES + 32 * SIGMA, rounds);
        count = copy(drawn, count, told, COORDINATES + 32 * RHO, word(told, LINEAR_ROUNDS));
        if (word(told, MAPS) != 0) count = copy(drawn, count, told, LAMBDA, 1);
        count = copy(drawn, count, told, COORDINATES + 32 * THETA, word(told, MAP_ROUNDS));
        count = copy(drawn, count, told, MU, 2);
        assembly ("memory-safe") {
            mstore(drawn, count)
        }
    }

    function copy(uint256[] memory to, uint256 count, bytes memory told, uint256 place, uint256 length)
        private
        pure
        returns (uint256)
    {
        for (uint256 i; i < length; ++i) {
            to[count++] = word(told, place + 32 * i);
        }
        return count;
    }

    function word(bytes memory told, uint256 place) private pure returns (uint256) {
        uint256 start;
        assembly ("memory-safe") {
            start := add(told, 0x20)
        }
        return load(start + place);
    }
}
