// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {CodeStorage} from "../libraries/CodeStorage.sol";
import {Descriptor} from "../libraries/proof/Descriptor.sol";
import {Images} from "../libraries/proof/Images.sol";
import {Layout} from "../libraries/proof/Layout.sol";
import {CHUNK_BITS, Memory, store} from "../libraries/proof/Memory.sol";
import {Parameters} from "../libraries/proof/Parameters.sol";
import {Reader, Words} from "../libraries/proof/Words.sol";

/// @title CircuitReader: the half of ProofVerifier that reads models
/// @notice A contract of its own because both do not fit into one (EIP-170). It has no state; ProofVerifier creates
///         it and trusts its code. All that it gives is made from what the registry has of a model, which is immutable.
contract CircuitReader {
    /// @dev Of 4.9 million gas each: two fit into a transaction (EIP-7825).
    uint256 private constant PIECES_A_CALL = 2;

    IModelRegistry private immutable MODELS;
    uint256 private immutable CHUNK_BITS_OF_MODELS;

    error NoCircuit(bytes32 modelId);

    constructor(IModelRegistry models, uint256 chunkBits) {
        MODELS = models;
        CHUNK_BITS_OF_MODELS = chunkBits;
    }

    /// @notice Returns a model's image (Memory.sol).
    function read(bytes32 modelId) external view {
        _read(modelId);
        Memory.returnImage();
    }

    /// @notice Keeps it as contract code (Images.sol), two pieces a call.
    function write(bytes32 modelId) external {
        _read(modelId);
        Images.write(modelId, PIECES_A_CALL);
    }

    /// @dev Reads the descriptor, lays the network out, and copies the commitments. Reverts unless the descriptor is
    ///      well formed and there are as many commitments as it wants.
    function _read(bytes32 modelId) private view {
        // Before the fixed positions: it is not part of the image.
        Reader memory reader;
        address circuit = MODELS.circuitPointerOf(modelId);
        if (circuit == address(0)) revert NoCircuit(modelId);
        Memory.begin();
        store(CHUNK_BITS, CHUNK_BITS_OF_MODELS);
        // The tensors' records come first, and the descriptor's first word says how many they are.
        uint256 header;
        assembly ("memory-safe") {
            extcodecopy(circuit, 0x00, 1, 0x20)
            header := mload(0x00)
        }
        Memory.allocate(Descriptor.recordBytes(header));
        Words.open(reader, CodeStorage.read(circuit));
        Descriptor.parse(reader);
        Layout.make();
        Parameters.open();
        Parameters.read(MODELS.parametersOf(modelId));
    }
}
