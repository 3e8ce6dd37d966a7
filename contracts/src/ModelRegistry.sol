// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {Claims} from "./libraries/Claims.sol";
import {CodeStorage} from "./libraries/CodeStorage.sol";

/// @title ModelRegistry: models by their digest, immutable once registered
/// @notice A model's id is the digest of its kind, manifest and circuit, so an id can never come to mean something
///         else.
contract ModelRegistry is IModelRegistry {
    /// @notice Integer network with a circuit: one function on every machine, provable.
    uint8 public constant KIND_CANONICAL = 1;
    /// @notice Any ONNX file, bound by the digests in its manifest; has no circuit.
    uint8 public constant KIND_OPAQUE = 2;

    mapping(bytes32 modelId => Model) private _models;

    /// @inheritdoc IModelRegistry
    /// @dev WARNING: the id does not contain the owner. Whoever registers a model first owns it, which means they may
    ///      deprecate it and nothing else. A publisher who was overtaken changes the manifest (a new id) and registers
    ///      again.
    function register(uint8 kind, bytes32 manifestDigest, bytes calldata circuit, string calldata dataUri)
        external
        returns (bytes32 modelId)
    {
        if (kind != KIND_CANONICAL && kind != KIND_OPAQUE) revert UnknownKind(kind);
        if (manifestDigest == 0) revert ManifestMissing();
        if (kind == KIND_CANONICAL && circuit.length == 0) revert CircuitMissing();
        if (kind == KIND_OPAQUE && circuit.length != 0) revert CircuitUnexpected();
        bytes32 circuitDigest = kind == KIND_CANONICAL ? keccak256(circuit) : bytes32(0);
        modelId = Claims.hashModel(kind, manifestDigest, circuitDigest);
        if (_models[modelId].owner != address(0)) revert AlreadyRegistered(modelId);

        address pointer = kind == KIND_CANONICAL ? CodeStorage.write(circuit) : address(0);
        _models[modelId] = Model(msg.sender, kind, false, pointer, manifestDigest, circuitDigest);
        emit ModelRegistered(modelId, kind, manifestDigest, circuitDigest, msg.sender, dataUri);
    }

    /// @inheritdoc IModelRegistry
    function deprecate(bytes32 modelId) external {
        Model storage model = _existing(modelId);
        if (msg.sender != model.owner) revert NotModelOwner(model.owner, msg.sender);
        if (model.isDeprecated) revert AlreadyDeprecated(modelId);
        model.isDeprecated = true;
        emit ModelDeprecated(modelId);
    }

    /// @inheritdoc IModelRegistry
    function modelOf(bytes32 modelId) external view returns (Model memory) {
        return _existing(modelId);
    }

    /// @inheritdoc IModelRegistry
    function isActive(bytes32 modelId) external view returns (bool) {
        Model storage model = _models[modelId];
        return model.owner != address(0) && !model.isDeprecated;
    }

    /// @inheritdoc IModelRegistry
    function circuitOf(bytes32 modelId) external view returns (bytes memory) {
        address pointer = _existing(modelId).circuitPointer;
        return pointer == address(0) ? bytes("") : CodeStorage.read(pointer);
    }

    function _existing(bytes32 modelId) private view returns (Model storage model) {
        model = _models[modelId];
        if (model.owner == address(0)) revert UnknownModel(modelId);
    }
}
